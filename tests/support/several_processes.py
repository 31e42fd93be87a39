"""Trainings in several processes, which make the updates of one."""

import subprocess

import torch
from pipeline_tools import ROOT, environment, parameters
from zygote import quick_python

UPDATES = 24


SIZES = [
    *("--encoder-layers", "1", "--encoder-embed-dim", "16", "--encoder-ffn-embed-dim", "16"),
    *("--decoder-layers", "1", "--decoder-embed-dim", "16", "--decoder-ffn-embed-dim", "16"),
    *("--share-all-embeddings", "--lr", "0.01", "--warmup-updates", "5"),
]


def command(data, save_dir, processes, *more, dropout=0.0):
    """Updates of 400 tokens in batches of 100, whatever the number of processes."""
    options = ["--arch", "transformer_neuralqkv_tiny", "--save-dir", save_dir, "--cpu", "--processes", processes]
    limits = ["--max-update", UPDATES, "--max-tokens", 100, "--batch-tokens", 400, "--save-every", 4]
    return [
        *("bash", ROOT / "scripts/train.sh", data / "bin", *options, *limits, "--log-interval", 1, *more),
        *("--", *SIZES, "--dropout", dropout, "--attention-dropout", dropout),
    ]


def start(words, **variables):
    """Real interpreters, for signals and other networks; :func:`undisturbed` forks."""
    words = [str(word) for word in words]
    env = {**environment(), "OMP_NUM_THREADS": "1", **variables}
    return subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process, status=0):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == status, output[-4000:]
    return output


def undisturbed(words):
    """Run a training that nothing happens to; returns its output."""
    return finish(start(words, PYTHON=str(quick_python())))


def assert_equal_parameters(first, second, tolerance=0.0):
    expected, found = (parameters(folder / "checkpoint_last.pt") for folder in (first, second))
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=tolerance, msg=name)
