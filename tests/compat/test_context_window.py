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


@pytest.fixture(scope="module", params=["transformer_lm", "transformer_lm_baseline"])
def checkpoint(request, corpus, tmp_path_factory):
    options = tiny_training.KINDS["lm"].replace("--arch transformer_lm ", f"--arch {request.param} ")
    return tiny_training.train(corpus, tmp_path_factory.mktemp(request.param), options)


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


@pytest.mark.parametrize("options", [(8, 0, 3), (8, 2, 1), (31, 1, 64)], ids=str)
def test_every_block_has_its_own_context(options, corpus, checkpoint):
    window, workers, sentences = options
    output = evaluate(
        *(corpus, checkpoint, "--context-window", window, "--num-workers", workers, "--batch-size", sentences)
    )
    found = float(re.findall(r"Perplexity: ([\d.]+)", output)[0])
    assert found == pytest.approx(perplexity(corpus, checkpoint, window), abs=0.0051)


@pytest.mark.parametrize("window", [BLOCK, BLOCK + 8])
def test_a_window_of_a_block_is_refused(window, corpus, checkpoint):
    with pytest.raises(AssertionError, match="must be smaller than --tokens-per-sample"):
        evaluate(corpus, checkpoint, "--context-window", window)
