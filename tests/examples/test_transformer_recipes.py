"""examples/attention_is_all_you_need: the paper's constants, every variant's command, and BLEU on split tokens."""

import json
import re
import shlex
from collections import Counter
from math import exp, log

import pytest
from fairseq import options
from pipeline_tools import script, snapshot
from sacremoses import MosesTokenizer

FOLDER = "examples/attention_is_all_you_need"
WMT = {
    # recipe: (width, layers' shape, dropout, updates, pair, averaged, save every)
    "wmt14_en_de_base": (512, (6, 512, 2048, 8), 0.1, 100_000, "en-de", 5, 1250),
    "wmt14_en_de_big": (1024, (6, 1024, 4096, 16), 0.3, 300_000, "en-de", 20, 600),
    "wmt14_en_fr_big": (1024, (6, 1024, 4096, 16), 0.1, 300_000, "en-fr", 20, 600),
}


def commands(recipe, tmp_path, *arguments):
    """Training and generation of a dry run as fairseq reads them, and all that was printed."""
    folders = ["--data-dir", tmp_path / "data", "--runs", tmp_path / "runs"]
    output = script(f"{FOLDER}/{recipe}.sh", "--dry-run", *folders, *arguments)
    assert snapshot(tmp_path) == []
    # On several GPUs the training's line begins with torchrun.
    words = {
        name: shlex.split(next(re.finditer(rf"^(?!\+).*\bfairseq-{name} (.*)$", output, re.M))[1])
        for name in ("train", "generate")
    }
    train = options.parse_args_and_arch(options.get_training_parser(), words["train"])
    return train, options.parse_args_and_arch(options.get_generation_parser(), words["generate"]), output


@pytest.mark.parametrize("recipe", WMT)
def test_constants_are_those_of_the_paper(recipe, tmp_path):
    width, shape, dropout, updates, pair, averaged, every = WMT[recipe]
    train, generate, output = commands(recipe, tmp_path, "--gpus", 8)
    for side in ("encoder", "decoder"):
        names = ("layers", "embed_dim", "ffn_embed_dim", "attention_heads")
        assert tuple(getattr(train, f"{side}_{name}") for name in names) == shape
        assert not getattr(train, f"{side}_normalize_before")
        assert not getattr(train, f"{side}_learned_pos")
    assert train.share_all_embeddings
    assert not train.no_scale_embedding
    assert (train.dropout, train.attention_dropout, train.activation_dropout) == (dropout, 0.0, 0.0)
    assert (train.criterion, train.label_smoothing) == ("label_smoothed_cross_entropy", 0.1)
    assert (train.optimizer, train.adam_betas, train.adam_eps) == ("adam", "(0.9, 0.98)", 1e-9)
    assert (train.clip_norm, train.weight_decay) == (0.0, 0.0)
    assert (train.lr_scheduler, train.warmup_updates, train.warmup_init_lr) == ("inverse_sqrt", 4000, 0)
    # Section 5.3: the rate that d^-0.5 * min(step^-0.5, step * warmup^-1.5) has at the end of the warm-up.
    assert train.lr == [pytest.approx(width**-0.5 * 4000**-0.5, rel=1e-5)]
    assert train.max_update == updates
    assert 24_900 <= train.max_tokens * train.update_freq[0] * 8 <= 25_000
    assert (train.save_interval_updates, train.keep_interval_updates) == (every, averaged)
    assert train.no_epoch_checkpoints
    assert (generate.beam, generate.lenpen, generate.max_len_a, generate.max_len_b) == (4, 0.6, 1, 50)
    assert generate.path == str(tmp_path / "runs" / "baseline-seed1" / "average.pt")
    assert re.search(rf"average-checkpoints \S+ --last {averaged} --updates ", output)
    target = pair[3:]
    assert f"--source-lang en --target-lang {target} " in output
    assert f"learn-bpe -s {37000 if target == 'de' else 32000} " in output
    assert f"hyp.detok.{target}" in output
    assert ("compounds split at hyphens" in output) == (target == "de")


@pytest.mark.parametrize("recipe", ["iwslt14", "iwslt17"])
def test_iwslt_is_fairseqs_recipe(recipe, tmp_path):
    train, generate, output = commands(recipe, tmp_path, "--gpus", 1)
    assert (train.arch, train.dropout, train.weight_decay) == ("transformer_baseline_iwslt_de_en", 0.3, 0.0001)
    assert (train.lr, train.warmup_updates, train.max_tokens, train.update_freq) == ([0.0005], 4000, 4096, [1])
    assert (generate.beam, generate.lenpen) == (5, 1)
    assert "raw/test.lower.en" in output if recipe == "iwslt14" else "raw/test.en" in output
    assert ("# and BLEU on Moses tokens (en)" in output) == (recipe == "iwslt14")


@pytest.mark.parametrize(
    ("recipe", "variant", "option", "value"),
    [
        ("wmt14_en_de_base", "symmetric", "attention_compatibility", "encoder=symmetric"),
        ("wmt14_en_de_big", "pairwise", "attention_compatibility", "encoder=pairwise"),
        ("wmt14_en_fr_big", "valueaware", "attention_mixing", "value-aware-r"),
        ("wmt14_en_de_big", "matched", "match_parameters_of", "neuralqkv"),
    ],
)
def test_variants(recipe, variant, option, value, tmp_path):
    train, _, _ = commands(recipe, tmp_path, "--cpu", "--variant", variant)
    assert getattr(train, option) == value
    assert train.save_dir == str(tmp_path / "runs" / f"{variant}-seed1")


def test_smoke_without_text_of_its_own(tmp_path):
    """The toy corpus stands for English-French too."""
    folders = ["--data-dir", tmp_path / "data", "--runs", tmp_path / "runs"]
    output = script(f"{FOLDER}/wmt14_en_fr_big.sh", "--variant", "matched", "--smoke", "--cpu", *folders)
    score = json.loads((tmp_path / "runs" / "matched-seed1" / "gen.test" / "score.json").read_text())
    assert score["reference"] == str(tmp_path / "data" / "raw" / "test.de")
    assert set(score["metrics"]) == {"BLEU", "chrF2", "BLEU-tokenised"}
    assert re.search(r"^BLEU [\d.]+ .*\| BLEU-tokenised [\d.]+ \(nrefs:1\|case:mixed\|eff:no\|tok:none", output, re.M)


# ------------------------------------------------------------------ BLEU on tokens

HYPOTHESES = [
    "Das ist ein Ost-West-Konflikt, sagte er.",
    "Die Science-Fiction ist gut - und a-b-c auch.",
    'Meier & Sohn "neu" zahlen 3,5 % mehr.',
]
REFERENCES = [
    "Das ist ein Ost-West-Streit, sagte sie.",
    "Science-Fiction ist gut - und a-b-c ist es auch.",
    'Meier & Sohn "neu" zahlen 3,5 % weniger.',
]


def bleu(hypotheses, references):
    """BLEU of lists of tokens as Papineni et al. define it: 4-grams, clipped, over the corpus."""
    matches, totals = [0] * 4, [0] * 4
    for hypothesis, reference in zip(hypotheses, references):
        for n in range(1, 5):
            grams = [
                Counter(tuple(side[i : i + n]) for i in range(len(side) - n + 1)) for side in (hypothesis, reference)
            ]
            matches[n - 1] += sum((grams[0] & grams[1]).values())
            totals[n - 1] += sum(grams[0].values())
    lengths = [sum(map(len, side)) for side in (hypotheses, references)]
    brevity = min(0.0, 1 - lengths[1] / lengths[0])
    return 100 * exp(brevity + sum(log(m / t) for m, t in zip(matches, totals)) / 4)


def split_compounds(tokens):
    """Every hyphen between two characters that are no part of a compound split before, from the left."""
    done = []
    for token in tokens:
        start = i = 0
        while i + 2 < len(token):
            if token[i + 1] == "-":
                done += [token[start : i + 1], "##AT##-##AT##"]
                start, i = i + 2, i + 3
            else:
                i += 1
        done.append(token[start:])
    return done


def test_compound_split_bleu(tmp_path):
    for name, text in (("hyp", HYPOTHESES), ("ref", REFERENCES)):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in text), encoding="utf-8")
    files = [tmp_path / "hyp", tmp_path / "ref"]
    script("scripts/score.sh", *files)
    plain = json.loads((tmp_path / "score.json").read_text())
    output = script("scripts/score.sh", *files, "--resume", "--tokenised", "de", "--compound-split", "de")
    score = json.loads((tmp_path / "score.json").read_text())
    tokenizer = MosesTokenizer("de")
    tokens = [[tokenizer.tokenize(line) for line in text] for text in (HYPOTHESES, REFERENCES)]
    split = [[split_compounds(line) for line in text] for text in tokens]
    assert split[0][0][3:8] == ["Ost", "##AT##-##AT##", "West", "##AT##-##AT##", "Konflikt"]
    expected = {"BLEU-tokenised": bleu(*tokens), "BLEU-compound-split": bleu(*split)}
    for name, value in expected.items():
        assert score["metrics"][name]["score"] == pytest.approx(value, abs=0.006)
        assert "tok:none" in score["metrics"][name]["signature"]
        assert f"| {name} {value:.2f} (" in output
    assert expected["BLEU-compound-split"] > expected["BLEU-tokenised"]
    assert {name: score["metrics"][name] for name in plain["metrics"]} == plain["metrics"]

    # What is there is kept, with all its parts.
    before = (tmp_path / "score.json").stat().st_mtime_ns
    assert script("scripts/score.sh", *files, "--resume", "--compound-split", "de") == output
    assert (tmp_path / "score.json").stat().st_mtime_ns == before
    assert "a language is two or three letters" in script("scripts/score.sh", *files, "--tokenised", "German", status=2)
