"""Evaluations look at all of the data, or say at the end what they left out: against brute force."""

import math
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_training
import torch
from fairseq import checkpoint_utils, options
from fairseq.data import data_utils
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.tasks import FairseqTask
from fairseq_cli import eval_lm, generate, interactive, validate

from fairseq_plugins.compat.programs import ends_of_programs
from fairseq_plugins.compat.shards import deal
from fairseq_plugins.left_out import EvaluationError

BLOCK = 16
TRANSLATION = "--arch transformer_baseline_tiny --optimizer adam --skip-invalid-size-inputs-valid-test"


@pytest.fixture(scope="module", autouse=True)
def _repaired():
    ends_of_programs()  # of those that this file imports


@pytest.fixture(scope="module")
def model(corpus, tmp_path_factory):
    """A language model that takes 16 tokens."""
    options = tiny_training.KINDS["lm"].replace("transformer_lm", "transformer_lm_baseline_tiny").replace("32", "16")
    return tiny_training.train(corpus, tmp_path_factory.mktemp("lm"), options, updates=5)


@pytest.fixture(scope="module")
def short(corpus, tmp_path_factory):
    """A translation model that takes sentences of up to 4 words."""
    limits = "--max-source-positions 5 --max-target-positions 5"
    return tiny_training.train(
        corpus, tmp_path_factory.mktemp("short"), f"bin {TRANSLATION} {tiny_training.SMALL} {limits}", updates=2
    )


def run(program, *arguments, parser=None):
    """``fairseq-PROGRAM`` in this process."""
    parser = parser or options.get_generation_parser()
    if program is generate:
        parser.add_argument("--arch", default="wav2vec2")  # as its cli_main does
    args = options.parse_args_and_arch(parser, [*map(str, arguments), "--cpu", "--num-workers", "0"])
    return program.main(convert_namespace_to_omegaconf(args))


def perplexity(path, corpus, *words):
    """Of ``fairseq-eval-lm``, in full precision."""
    arguments = (corpus / "mono", "--path", path, "--gen-subset", "valid", *words)
    return run(eval_lm, *arguments, parser=options.get_eval_lm_parser())["perplexity"]


@torch.no_grad()
def brute_force(path, corpus, block, window=0):
    """The perplexity over all tokens, in blocks of ``block - window`` that see the ``window`` inputs before them."""
    (model,), _, task = checkpoint_utils.load_model_ensemble_and_task([str(path)], {"data": f"{corpus}/mono"})
    lines = (corpus / "valid.txt").read_text().splitlines()
    eos, words = task.dictionary.eos(), task.dictionary
    text = torch.tensor([number for line in lines for number in (*map(words.index, line.split()), eos)])
    inputs = torch.cat([torch.tensor([eos]), text[:-1]])
    total = 0.0
    for start in range(0, len(text), block - window):
        end, first = min(start + block - window, len(text)), max(0, start - window)
        logits, _ = model.eval()(inputs[None, first:end])
        log_probs = logits[0].double().log_softmax(-1)
        total -= log_probs[start - first :].gather(1, text[start:end, None]).sum().item()
    return math.exp(total / len(text)), len(text)


def test_eval_lm_takes_the_blocks_of_the_training(model, corpus, capsys):
    expected, tokens = brute_force(model, corpus, BLOCK)
    assert tokens == 144
    assert perplexity(model, corpus) == pytest.approx(expected, rel=1e-5)
    assert perplexity(model, corpus, "--max-tokens", BLOCK) == pytest.approx(expected, rel=1e-5)
    assert "left out" not in capsys.readouterr().out


def test_eval_lm_takes_what_is_asked_and_never_more_than_the_model(model, corpus, monkeypatch):
    for asked, block in ((7, 7), (40, BLOCK), (1024, BLOCK)):
        words = ("--tokens-per-sample", asked)
        monkeypatch.setattr(sys, "argv", ["fairseq-eval-lm", *map(str, words)])
        assert perplexity(model, corpus, *words) == pytest.approx(brute_force(model, corpus, block)[0], rel=1e-5)


def test_eval_lm_with_a_context_window(model, corpus):
    for words, block in (((), BLOCK), (("--tokens-per-sample", 12), 12), (("--tokens-per-sample", 40), BLOCK)):
        expected, _ = brute_force(model, corpus, block, window=5)
        found = perplexity(model, corpus, "--context-window", 5, *words)
        assert found == pytest.approx(expected, rel=1e-5)
    with pytest.raises(SystemExit, match="--context-window 16 leaves no token to score in blocks of 16; give 15"):
        perplexity(model, corpus, "--context-window", BLOCK)


def last_line(capsys):
    return capsys.readouterr().out.strip().split("\n")[-1]


def test_eval_lm_counts_the_sentences_that_no_block_holds(model, corpus, capsys):
    """With --sample-break-mode eos a sentence is a block, whatever the model takes."""
    lengths = [len(line.split()) + 1 for line in (corpus / "valid.txt").read_text().splitlines()]
    blocks = ("--sample-break-mode", "eos")
    perplexity(model, corpus, *blocks)
    assert "left out" not in capsys.readouterr().out
    perplexity(model, corpus, *blocks, "--model-overrides", "{'max_target_positions': 5}")
    long = [length for length in lengths if length > 5]
    assert last_line(capsys) == (
        f"{len(long)} of 30 blocks ({sum(long)} tokens) were left out: longer than the model takes (5 tokens)"
    )
    with pytest.raises(SystemExit, match=r"^fairseq-eval-lm: error: there is nothing to evaluate: 30 of 30 blocks"):
        perplexity(model, corpus, *blocks, "--model-overrides", "{'max_target_positions': 2}")


# ------------------------------------------------------------------ translations

SKIP = "--skip-invalid-size-inputs-valid-test"
PROGRAMS = {
    "generate": (generate, options.get_generation_parser, ("--gen-subset", "valid", "--beam", "1")),
    "validate": (validate, options.get_validation_parser, ("--task", "translation", "--max-tokens", "100")),
    "interactive": (interactive, options.get_interactive_generation_parser, ("--beam", "1", "--buffer-size", "4")),
}


@pytest.fixture
def evaluate(short, corpus):
    """``evaluate(program, *options)`` of the translation model on the set ``valid``."""

    def call(name, *words):
        program, parser, own = PROGRAMS[name]
        own = (*own, "--input", corpus / "valid.de") if name == "interactive" else own
        return run(program, corpus / "bin", "--path", short, *own, *words, parser=parser())

    return call


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_last_line_counts_what_is_left_out(name, evaluate, corpus, capsys):
    lengths = [len(line.split()) + 1 for line in (corpus / "valid.de").read_text().splitlines()]
    long = [length for length in lengths if length > 5]
    evaluate(name, SKIP)
    assert last_line(capsys) == (
        f"{len(long)} of 30 sentences ({sum(long)} tokens) were left out: longer than the model takes "
        "(source 5, target 5 tokens)"
    )
    with pytest.raises(SystemExit, match=rf"^fairseq-{name}: error: Size of sample #\d+ is invalid \(=\(\d, \d\)\)"):
        evaluate(name)
    if name != "interactive":
        with pytest.raises(SystemExit, match=r"error: Sentences lengths should not exceed max_tokens=4: give a larger"):
            evaluate(name, SKIP, "--max-tokens", "4")


def test_a_results_file_has_the_count_in_its_last_line(evaluate, tmp_path, capsys):
    evaluate("generate", SKIP, "--results-path", str(tmp_path))
    text = (tmp_path / "generate-valid.txt").read_text()
    assert re.search(r"\nGenerate valid with .*\n\d+ of 30 sentences \(\d+ tokens\) were left out: .*\n$", text)


def test_shards_of_generate_are_all_of_it(evaluate, capsys):
    count = 6  # some have no batch

    def translated(*words):
        evaluate("generate", SKIP, "--max-tokens", "40", "--required-batch-size-multiple", "1", *words)
        text = capsys.readouterr().out
        return re.findall(r"^(H-\d+\t.*)$", text, re.MULTILINE), re.findall(
            r"^.* were left out: .*$", text, re.MULTILINE
        )

    whole, left_out = translated()
    shards = [translated("--num-shards", str(count), "--shard-id", str(number)) for number in range(count)]
    assert sorted(line for lines, _ in shards for line in lines) == sorted(whole)
    assert all(said == left_out for _, said in shards), "of the whole corpus"
    assert len(shards[0][0]) < len(whole)
    assert [] in [lines for lines, _ in shards]
    with pytest.raises(SystemExit, match=rf"^fairseq-generate: error: --shard-id {count}: give a number from 0 to"):
        translated("--num-shards", str(count), "--shard-id", str(count))


@pytest.mark.parametrize("count", [2, 3, 8])
def test_shards_have_the_same_number_of_tokens(count):
    """Of sentences whose lengths have a long tail, in batches of up to 2,000 padded tokens."""
    sizes = np.random.default_rng(1).lognormal(3.2, 0.6, 3000).astype(int) + 1
    data = SimpleNamespace(size=lambda number: (sizes[number], 1))
    made = data_utils.batch_by_size(np.argsort(sizes), None, sizes, max_tokens=2000, required_batch_size_multiple=8)
    batches = SimpleNamespace(dataset=data, frozen_batches=tuple(made), num_shards=count)
    deal(batches)
    shards = [batches._frozen_batches[number::count] for number in range(count)]
    tokens = [sum(sizes[batch].sum() for batch in shard if len(batch)) for shard in shards]
    assert max(tokens) / min(tokens) < 1.02
    held = sorted(number for shard in shards for batch in shard for number in batch)
    assert held == list(range(3000))
    stock = [sum(sizes[batch].sum() for batch in made[number::count]) for number in range(count)]
    assert max(stock) - min(stock) > max(tokens) - min(tokens), "fairseq's own shards"


# ------------------------------------------------------------------ what the originals do


def test_outside_of_programs_batches_are_made_as_before():
    assert data_utils.batch_by_size([0, 1], num_tokens_fn=len, num_tokens_vec=[2, 3], max_tokens=6) is not None
    with pytest.raises(EvaluationError, match="max_tokens=2: give a larger --max-tokens"):
        data_utils.batch_by_size([0, 1], num_tokens_fn=len, num_tokens_vec=[2, 3], max_tokens=2)

    class Broken:
        def filter_indices_by_size(self, *_):
            raise KeyError("of its own")

    with pytest.raises(KeyError, match="of its own"):
        FairseqTask.filter_indices_by_size(None, [0], Broken(), max_positions=3, ignore_invalid_inputs=True)
