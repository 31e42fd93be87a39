"""Trained checkpoints for the tests of this folder."""

import pytest
import tiny_training


@pytest.fixture(scope="session")
def train(corpus, tmp_path_factory):
    """``train(options, variant)``: fairseq-train in this process; the path of its checkpoint_last.pt."""
    done = {}

    def run(options, variant, more="", updates=3):
        key = options, variant, more, updates
        if key not in done:
            folder = tmp_path_factory.mktemp(variant)
            done[key] = tiny_training.train(corpus, folder, f"{options.format(variant=variant)} {more}", updates)
        return done[key]

    return run
