"""Fixtures shared by all tests."""

import gc
import logging
import os
import random
import signal
import sys
import threading
from pathlib import Path

gc.disable()  # until all is imported and collected, which all stays: looking through it takes 3 s of 9

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
# children (fairseq's commands, the scripts) find the plugin by --user-dir or ROOT, and stay off each other's cores
os.environ.setdefault("OMP_NUM_THREADS", "1")
# whoever forbids bytecode would have each of a thousand processes compile the plugin anew, and each worker all tests
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# a shell starts background jobs with SIGINT ignored, and children inherit that: tests that interrupt need it back
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest  # noqa: E402
import tiny_training  # noqa: E402
import torch  # noqa: E402
import tqdm  # noqa: E402
import zygote  # noqa: E402
from running import forked  # noqa: E402
from warm import quicken_hydra  # noqa: E402

import fairseq_plugins.models  # noqa: E402,F401  registers everything before any fixture builds a model

torch.set_num_threads(1)  # whatever fresh processes have: with OpenMP's threads in this one, its forks would hang
quicken_hydra()
tqdm.tqdm.monitor_interval = 0  # its thread could hold a lock when a test forks


#: folder -> files whose tests run whole pipelines, train, or start many processes: what scripts/test.sh --fast omits
SLOW = {
    "against_stock": "against_stock",
    "analysis": "analyse_attention token_losses",
    "benchmark": "benchmark generation startup",
    "checkpoints": "override_attention",
    "compat": "compat context_window contracts layer_pruning left_out levenshtein lines model_overrides search "
    "user_dir workers",
    "criterions": "fused_in_processes fused_training",
    "docs": "readme",
    "examples": "mixing_recipes opus_mt_recipe pretrain_recipes recipes transformer_recipes",
    "glue": "glue_evaluate glue_scripts",
    "huggingface": "registered tokenization",
    "inference": "generating",
    "models": "compiled fairseq_commands fast_dropout guided_alignment monte_carlo_dropout pruned_roberta roberta "
    "transformer_lm",
    "parsing": "parsing_scripts",
    "report": "page",
    "scripts": "generate_shards gpu_evidence pipeline plan prepare_iwslt14 prepare_parallel prepare_scripts "
    "prepare_wikitext prepare_wmt14 preset scale setup slurm text_of_scripts translate",
    "study": "batches budget jobs study",
    "": "front_door",
    "text": "toy_corpus",
    "transfer": "ctranslate2 fold huggingface marian pipelines probe shared_fit staged warm_start",
}


def pytest_configure(config):
    """One process that forks for all of xdist's workers, found by a variable; a run without them starts its own."""
    if not config.getoption("numprocesses", None) or hasattr(config, "workerinput"):
        return
    gc.enable()  # this process collects nothing
    if zygote.SHARED not in os.environ:
        os.environ[zygote.SHARED] = str(zygote.start())


#: the longest, which begin first: nobody is to wait for one of them at the end
LONGEST = """
scripts/scale study/study scripts/translate against_stock/against_stock examples/recipes analysis/analyse_attention
scripts/slurm compat/contracts parsing/parsing_scripts examples/opus_mt_recipe scripts/setup scripts/pipeline
scripts/generate_shards front_door
"""


def pytest_collection_modifyitems(items):
    slow = [ROOT / "tests" / folder / f"test_{name}.py" for folder, names in SLOW.items() for name in names.split()]
    longest = [(ROOT / "tests" / name).with_name(f"test_{Path(name).name}.py") for name in LONGEST.split()]
    gone = [str(path) for path in (*slow, *longest) if not path.is_file()]
    assert not gone, f"SLOW or LONGEST name files that are not there: {gone}"
    places = {path: place for place, path in enumerate(dict.fromkeys([*longest, *slow]))}
    for item in items:
        if item.path in places:
            item.add_marker("slow")
    items.sort(key=lambda item: places.get(item.path, len(places)))
    gc.freeze()
    gc.enable()


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
