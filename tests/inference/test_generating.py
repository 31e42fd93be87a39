"""Engines that search: the text of fairseq's own programs, for every variant and both kinds of pieces."""

import importlib.util
import itertools
import math

import pytest
import torch
from builders import TRANSLATION_CASES, language_modeling_task, save
from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.hub_utils import GeneratorHubInterface
from fairseq_cli.generate import _main as generate
from pipeline_tools import ROOT
from recorded_text import FRENCH, task_of, write_record
from running import forked

from fairseq_plugins.errors import UserError
from fairseq_plugins.inference.engine import Settings
from fairseq_plugins.inference.generating import Completer, Translator

#: without repetitions, of which such models are full
LIMITS = ("--cpu", "--max-len-b", "12", "--no-repeat-ngram-size", "2")
PIECES = ["subword-nmt", "sentencepiece"]
#: for what has nothing to do with the kind of pieces
one_record = pytest.mark.parametrize("record", PIECES[:1], indirect=True)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """By the kind of pieces."""
    return {kind: write_record(tmp_path_factory.mktemp(kind), kind) for kind in PIECES}


@pytest.fixture(params=PIECES)
def record(request, records):
    return records[request.param]


@pytest.fixture(scope="module")
def collect():
    """What generate.sh makes of fairseq-generate's log."""
    spec = importlib.util.spec_from_file_location("collect_hypotheses", ROOT / "scripts" / "collect_hypotheses.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.collect


def model(record, path, case="transformer_baseline_tiny", **overrides):
    """A checkpoint of random weights, whose hypotheses differ widely."""
    torch.manual_seed(2)
    save(path, case, task_of(record), noise=0.5, **overrides)
    return path


def translator(record, *paths, words=LIMITS):
    return Translator(Settings(tuple(map(str, paths)), record, tuple(map(str, words))))


def pieces(record, lines=FRENCH):
    return list(map(record.encoder(), lines))


@pytest.mark.parametrize(
    ("case", "record"), zip(TRANSLATION_CASES, itertools.cycle(PIECES), strict=False), indirect=["record"]
)
def test_every_variant_writes_the_text_of_generate(case, record, collect, tmp_path):
    path = model(record, tmp_path / "model.pt", case)
    kind = record.pieces("en").remove_bpe
    data = record.folder / "bin"
    words = [
        data,
        "--path",
        path,
        "--remove-bpe",
        kind,
        "-s",
        "fr",
        "-t",
        "en",
        *LIMITS,
        "--beam",
        "3",
        "--num-workers",
        "0",
    ]
    parsed = options.parse_args_and_arch(options.get_generation_parser(), list(map(str, words)))
    with open(tmp_path / "log", "w") as log:
        log.write(f"loaded {len(FRENCH)} examples from: {data}\n")
        generate(convert_namespace_to_omegaconf(parsed), log)
    collect(tmp_path / "log", tmp_path, "en", record.folder / "text.json")
    expected = (tmp_path / "hyp.detok.en").read_text().split("\n")[:-1]
    found = translator(record, path, words=[*LIMITS, "--beam", "3"]).answer(pieces(record), seed=1)
    assert [best.text for (best,) in found] == expected
    assert len(set(expected)) > 3


def test_columns_of_interactive(record, tmp_path):
    """n best of an ensemble, scores, alignments: fairseq-interactive's; its alignments are of pieces, ours of words."""
    paths = [model(record, tmp_path / f"{number}.pt", encoder_ffn_embed_dim=20 + number) for number in (0, 1)]
    joined = ":".join(map(str, paths))
    (tmp_path / "in").write_text("".join(f"{line}\n" for line in pieces(record)), encoding="utf-8")
    data = record.folder / "bin"
    columns = [*LIMITS, "--beam", 3, "--nbest", 2, "--print-alignment"]
    arguments = ["--path", joined, "-s", "fr", "-t", "en", "--input", tmp_path / "in", "--buffer-size", 100]
    log = forked("interactive", data, *arguments, "--max-tokens", 4096, *columns)
    printed = [line.split("\t") for line in log.splitlines() if line[:2] in ("S-", "H-", "A-")]
    sources = [row[1] for row in printed if row[0].startswith("S-")]
    hypotheses = [row for row in printed if row[0].startswith("H-")]
    alignments = [row[1] for row in printed if row[0].startswith("A-")]
    found = translator(record, *paths, words=columns).answer(pieces(record), seed=1)
    assert [len(ranked) for ranked in found] == [2] * len(FRENCH)
    kind, decode = record.pieces("en").remove_bpe, record.decoder()
    for number, one in enumerate(one for ranked in found for one in ranked):
        _, score, text = hypotheses[number]
        assert one.text == decode(text)
        assert one.score == pytest.approx(float(score), abs=1e-5)
        assert one.words == joined_pieces(text, kind)
        assert one.source == joined_pieces(sources[number // 2], kind)
        of_words = set()
        for pair in alignments[number].split():
            source, target = map(int, pair.split("-"))
            of_words.add((word_of(sources[number // 2], source, kind), word_of(text, target, kind)))
        assert set(one.pairs) == of_words
        assert of_words
    assert all(first.score >= second.score for first, second in found)


def joined_pieces(line, kind):
    return (
        f"{line} ".replace("@@ ", "").rstrip()
        if kind == "subword_nmt"
        else line.replace(" ", "").replace("▁", " ").strip()
    )


def word_of(line, index, kind):
    """The word that a piece is a part of: by the blanks before it."""
    before = " ".join(line.split()[: index + 1])
    return len(joined_pieces(f"{before}x" if kind == "subword_nmt" else before, kind).split()) - 1


@one_record
def test_what_the_search_had_to_end(record, tmp_path):
    path = model(record, tmp_path / "model.pt")
    for limit in (1, 4):
        found = translator(record, path, words=["--cpu", "--max-len-b", limit]).answer(pieces(record), seed=1)
        assert all(one.cut == (one.weight == limit + 1) for (one,) in found)
    assert any(one.cut for (one,) in found)


@one_record
def test_directions_and_tasks(record, tmp_path):
    path = model(record, tmp_path / "model.pt")
    assert translator(record, path, words=[*LIMITS, "--source-lang", "fr"]).task.cfg.target_lang == "en"
    with pytest.raises(UserError, match=r"model\.pt translates fr-en, not en-fr; give a model of that direction"):
        translator(record, path, words=[*LIMITS, "--source-lang", "en", "--target-lang", "fr"])
    state = torch.load(path, weights_only=False)
    state["cfg"]["task"].update(source_lang="de", target_lang="en")
    torch.save(state, tmp_path / "german.pt")
    with pytest.raises(UserError, match=r"german\.pt translates de-en, but the text of .* is fr-en; give --text"):
        translator(record, tmp_path / "german.pt")
    state["cfg"]["task"].update(source_lang="en", target_lang="fr")
    torch.save(state, tmp_path / "other.pt")  # a record serves both directions
    assert translator(record, tmp_path / "other.pt").task.cfg.source_lang == "en"
    with pytest.raises(UserError, match=r"a model of fairseq's task translation; .*translate\.sh is for translation"):
        Completer(Settings((str(path),), one_language(record), LIMITS))
    with pytest.raises(UserError, match=r"its text\.json is of text for the languages fr and en"):
        Completer(Settings((str(path),), record, LIMITS))


def one_language(record):
    steps = {"text": record.steps["fr"]}
    return type(record)("text", "text", steps, {"text": record.dictionaries["fr"]}, record.folder)


@one_record
def test_another_dictionary_is_refused(record, tmp_path):
    path = tmp_path / "model.pt"
    save(path, "transformer_baseline_tiny")
    with pytest.raises(
        UserError, match=r"cannot be loaded with the dictionaries in .*bin \(size mismatch for .*embed_to"
    ):
        translator(record, path)


@one_record
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--bream", "5"], r"of fairseq-interactive's options: unrecognized arguments: --bream 5"),
        (["--nbest", "9"], "--nbest 9: a beam of 5 has 5 hypotheses"),
        (["--sampling"], "--sampling draws --beam hypotheses of equal rank; give --nbest 5, too"),
    ],
)
def test_options_that_the_search_does_not_have(words, said, record, tmp_path):
    with pytest.raises(UserError, match=said):
        translator(record, model(record, tmp_path / "model.pt"), words=["--cpu", *words])


@one_record
def test_random_numbers_are_those_of_the_seed(record, tmp_path):
    path = model(record, tmp_path / "model.pt")
    engine = translator(record, path, words=[*LIMITS, "--sampling", "--beam", 2, "--nbest", 2])
    drawn = [[[one.text for one in ranked] for ranked in engine.answer(pieces(record), seed)] for seed in (1, 2, 1)]
    assert drawn[0] == drawn[2] != drawn[1]


# ------------------------------------------------------------------ causal language models


@pytest.mark.parametrize("case", ["transformer_lm_neuralqkv_tiny", "transformer_lm_elu1"])
def test_completions_are_those_of_the_hub(case, byte_record, tmp_path):
    """Of one line at a time; there the search ends all lines of a batch at one length, that of the line counted."""
    task = language_modeling_task_of(byte_record)
    save(tmp_path / "model.pt", case, task, noise=0.5)
    words = ("--cpu", "--max-len-b", "6", "--beam", "3")
    engine = Completer(Settings((str(tmp_path / "model.pt"),), byte_record, words))
    lines = [byte_record.encoder()(line) for line in ("a man", "no", "a dog", "ba")]
    assert len({len(line.split()) for line in lines}) > 1
    hub = GeneratorHubInterface(engine.cfg, engine.task, engine.models)
    by_length = {}
    for line in lines:
        by_length.setdefault(len(line.split()), []).append(line)
    for length, same in by_length.items():
        for line, (best,) in zip(same, engine.answer(same, seed=1)):
            tokens = task.source_dictionary.encode_line(line, add_if_not_exist=False).long()
            (expected, *_), *_ = hub.generate([tokens], beam=3, max_len_b=length + 6)
            text = byte_record.decoder()(task.source_dictionary.string(expected["tokens"]))
            assert best.text == text
            assert best.text.startswith(byte_record.decoder()(line))
            assert best.score == pytest.approx(expected["score"].item() / math.log(2), abs=1e-5)


def language_modeling_task_of(record):
    task = language_modeling_task()
    task.dictionary = task.output_dictionary = task.load_dictionary(str(record.folder / "bin" / "dict.txt"))
    return task
