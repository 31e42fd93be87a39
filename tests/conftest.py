"""Fixtures shared by all tests."""

import logging
import os
import random
import signal
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
# children (fairseq's commands, the scripts) find the plugin by --user-dir or ROOT, and stay off each other's cores
os.environ.setdefault("OMP_NUM_THREADS", "1")

# a shell starts background jobs with SIGINT ignored, and children inherit that: tests that interrupt need it back
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest  # noqa: E402
import tiny_training  # noqa: E402
import torch  # noqa: E402
import tqdm  # noqa: E402
from running import forked  # noqa: E402

import fairseq_plugins.models  # noqa: E402,F401  registers everything before any fixture builds a model

torch.set_num_threads(1)  # whatever fresh processes have: with OpenMP's threads in this one, its forks would hang
tqdm.tqdm.monitor_interval = 0  # its thread could hold a lock when a test forks


#: files whose tests run whole pipelines, train, or start many processes: what scripts/test.sh --fast leaves out
SLOW = {
    *("against_stock/test_against_stock.py", "analysis/test_analyse_attention.py", "benchmark/test_benchmark.py"),
    *("benchmark/test_generation.py", "benchmark/test_startup.py", "compat/test_contracts.py"),
    *("compat/test_context_window.py", "compat/test_left_out.py", "compat/test_levenshtein.py"),
    *("compat/test_lines.py", "compat/test_user_dir.py", "compat/test_workers.py"),
    *("criterions/test_fused_in_processes.py", "criterions/test_fused_training.py", "glue/test_glue_evaluate.py"),
    *("glue/test_glue_scripts.py", "models/test_guided_alignment.py", "models/test_monte_carlo_dropout.py"),
    *("compat/test_layer_pruning.py", "models/test_pruned_roberta.py", "models/test_transformer_lm.py"),
    *("parsing/test_parsing_scripts.py", "test_compat.py", "test_fairseq_commands.py", "test_front_door.py"),
    *("test_mixing_recipes.py", "test_opus_mt_recipe.py", "test_override_attention.py", "test_pipeline.py"),
    *("test_plan.py", "test_prepare_iwslt14.py", "test_prepare_scripts.py", "test_prepare_wikitext.py"),
    *("test_prepare_wmt14.py", "test_preset.py", "test_pretrain_recipes.py", "test_readme.py", "test_recipes.py"),
    *("test_scale.py", "test_setup.py", "test_slurm.py", "test_text_of_scripts.py", "test_toy_corpus.py"),
    *("test_transformer_recipes.py", "transfer/test_ctranslate2.py", "transfer/test_huggingface.py"),
    *("transfer/test_marian.py", "transfer/test_probe.py", "transfer/test_warm_start.py"),
}


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.relative_to(ROOT / "tests").as_posix() in SLOW:
            item.add_marker("slow")


@pytest.fixture(autouse=True)
def _fresh():
    """The same random numbers for each test, and no logging that a command before it has set up for its process."""
    torch.manual_seed(1)
    logging.getLogger("fairseq").setLevel(logging.NOTSET)
    written = [handler for handler in logging.root.handlers if type(handler) is logging.StreamHandler]
    yield
    # fairseq-validate puts one in the place of all, whose stream ends with the test; pytest's are of other types
    others = [handler for handler in logging.root.handlers if type(handler) is not logging.StreamHandler]
    logging.root.handlers[:] = others + written


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def plugin(root):
    """What --user-dir takes."""
    return root / "fairseq_plugins"


@pytest.fixture(scope="session")
def bin_dir(tmp_path_factory):
    """A small reversal task, binarised by fairseq-preprocess with one dictionary."""
    folder = tmp_path_factory.mktemp("reversal")
    words = random.Random(1)
    for split, size in (("train", 300), ("valid", 40), ("test", 20)):
        lines = [[f"w{words.randrange(20)}" for _ in range(words.randrange(2, 9))] for _ in range(size)]
        (folder / f"{split}.de").write_text("".join(" ".join(line) + "\n" for line in lines))
        (folder / f"{split}.en").write_text("".join(" ".join(reversed(line)) + "\n" for line in lines))
    prefixes = [f"--{split}pref={folder / split}" for split in ("train", "valid", "test")]
    forked("preprocess", "-s", "de", "-t", "en", *prefixes, "--joined-dictionary", "--destdir", folder / "bin")
    return folder / "bin"


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """The corpora of :mod:`tiny_training`, for its trainings."""
    folder = tmp_path_factory.mktemp("corpus")
    tiny_training.write_corpus(folder)
    return folder
