"""``fairseq-eval-lm --context-window`` against every block scored after its context, one by one."""

import math
import re

import pytest
import tiny_training
import torch
from fairseq import checkpoint_utils
from fairseq.data import data_utils
from running import forked

BLOCK = 32


@pytest.fixture(scope="module")
def checkpoints(corpus, tmp_path_factory):
    """Of stock's architecture and of ours."""
    folder, stock = tmp_path_factory.mktemp("lm"), tiny_training.KINDS["lm"]
    ours = stock.replace("--arch transformer_lm ", "--arch transformer_lm_baseline ")
    return [tiny_training.train(corpus, folder / str(k), options) for k, options in enumerate((stock, ours))]


def evaluate(corpus, checkpoint, *options):
    where = (corpus / "mono", "--path", checkpoint, "--gen-subset", "valid", "--cpu", "--tokens-per-sample", BLOCK)
    return forked("eval-lm", *where, *options)


def perplexity(corpus, checkpoint, window):
    """Of the stream of all tokens, in blocks that are read with the tokens before them."""
    (model,), _, task = checkpoint_utils.load_model_ensemble_and_task([str(checkpoint)], {"data": str(corpus / "mono")})
    lines = data_utils.load_indexed_dataset(str(corpus / "mono" / "valid"), task.dictionary)
    targets = torch.cat([lines[number] for number in range(len(lines))]).long()
    read = torch.cat([torch.tensor([task.dictionary.eos()]), targets[:-1]])
    model.eval()
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(targets), BLOCK - window):
            first, end = max(0, start - window), start + BLOCK - window
            output = model.get_normalized_probs(model(read[None, first:end]), log_probs=True)[0]
            scores = output.gather(1, targets[first:end, None])[start - first :]
            total += scores.sum().item()
    return math.exp(-total / len(targets))


@pytest.mark.parametrize(("arch", "options"), [(0, (8, 2, 1)), (1, (8, 0, 3)), (1, (31, 1, 64))])
def test_every_block_has_its_own_context(arch, options, corpus, checkpoints):
    window, workers, sentences = options
    batches = ("--num-workers", workers, "--batch-size", sentences)
    output = evaluate(corpus, checkpoints[arch], "--context-window", window, *batches)
    found = float(re.findall(r"Perplexity: ([\d.]+)", output)[0])
    assert found == pytest.approx(perplexity(corpus, checkpoints[arch], window), abs=0.0051)


@pytest.mark.parametrize("window", [BLOCK, BLOCK + 8])
def test_a_window_of_a_block_is_refused(window, corpus, checkpoints):
    with pytest.raises(AssertionError, match="leaves no token to score in blocks of"):
        evaluate(corpus, checkpoints[1], "--context-window", window)
