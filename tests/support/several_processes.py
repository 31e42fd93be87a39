"""Trainings in several processes, which make the updates of one."""

import re
import shlex
import subprocess
import sys

import torch
from pipeline_tools import ROOT, environment, parameters
from preparation import stub
from zygote import quick_python

UPDATES = 16


SIZES = [
    *("--encoder-layers", "1", "--encoder-embed-dim", "16", "--encoder-ffn-embed-dim", "16"),
    *("--decoder-layers", "1", "--decoder-embed-dim", "16", "--decoder-ffn-embed-dim", "16"),
    *("--share-all-embeddings", "--lr", "0.01", "--warmup-updates", "5"),
]


def command(data, save_dir, processes, *more, dropout=0.0, loaders=0):
    """Updates of 400 tokens in batches of 100, whatever the number of processes; ``loaders`` of data for each."""
    options = ["--arch", "transformer_neuralqkv_tiny", "--save-dir", save_dir, "--cpu", "--processes", processes]
    limits = ["--max-update", UPDATES, "--max-tokens", 100, "--batch-tokens", 400, "--save-every", 4]
    return [
        *("bash", ROOT / "scripts/train.sh", data / "bin", *options, *limits, "--log-interval", 1, *more),
        *("--", *SIZES, "--dropout", dropout, "--attention-dropout", dropout, "--num-workers", loaders),
    ]


def start(words, python=sys.executable):
    """With a real interpreter; see also :func:`forked_ranks` and :func:`undisturbed`."""
    words, env = [str(word) for word in words], environment(PYTHON=str(python))
    return subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def forked_ranks(folder):
    """A real interpreter for the watcher and torchrun, whose fairseq-train is a fork.

    Signals pass through the process that stands for it.
    """
    stub(folder, "python", f'exec {shlex.quote(sys.executable)} "$@"')
    (folder / "fairseq-train").symlink_to(quick_python().with_name("fairseq-train"))
    return folder / "python"


def finish(process, status=0):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == status, output[-4000:]
    return output


def undisturbed(words):
    """Run a training that nothing happens to; returns its output."""
    return finish(start(words, quick_python()))


def assert_equal_parameters(first, second, tolerance=0.0):
    """Of two runs; by a tolerance without the biases of keys, which softmax does not see: they follow rounding."""
    expected, found = (parameters(folder / "checkpoint_last.pt") for folder in (first, second))
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        if tolerance and re.search(r"\.k_proj\.(3\.)?bias$", name):
            continue
        torch.testing.assert_close(found[name], value, rtol=0, atol=tolerance, msg=name)
