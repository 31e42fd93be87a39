"""What the pipeline's tests share: calling a script, and a small parallel corpus."""

import functools
import importlib.util
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from fairseq import checkpoint_utils
from zygote import quick_python

ROOT = Path(__file__).resolve().parents[2]

NOUNS = [("Hund", "dog"), ("Mann", "man"), ("Ball", "ball"), ("Baum", "tree"), ("Wagen", "car"), ("Tisch", "table")]
VERBS = [("gesehen", "seen"), ("gefunden", "found"), ("gekauft", "bought"), ("gemalt", "painted")]
TIMES = [("heute", "today"), ("gestern", "yesterday"), ("morgens", "in the morning"), ("oft", "often")]


def environment(**extra):
    """The caller's environment with the tests' own Python; nothing of a stage that may run around us."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FAIRSEQ_PLUGINS_")}
    known = {}
    if quick_python.cache_info().currsize and extra.get("PYTHON") == str(quick_python()):
        known["FAIRSEQ_PLUGINS_PYTHON"] = extra["PYTHON"]  # which has been looked at
    return {**kept, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1", **known, **extra}


def script(name, *arguments, status=0, cwd=None, **extra):
    """Run a script of the project to its end; its stdout and stderr come back as one text after checking the status."""
    command = ["bash", str(ROOT / name), *map(str, arguments)]
    extra.setdefault("PYTHON", str(quick_python()))
    done = subprocess.run(
        command, env=environment(**extra), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == status, f"{command} ended with {done.returncode}:\n{done.stdout[-6000:]}"
    return done.stdout


@functools.cache
def python_script(name):
    """``scripts/NAME.py`` as a module."""
    spec = importlib.util.spec_from_file_location(f"{name}_script", ROOT / "scripts" / f"{name}.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # where dataclasses look their types up
    spec.loader.exec_module(module)
    return module


def benchmark_script():
    """``scripts/benchmark.py`` as a module."""
    return python_script("benchmark")


def sentences(count, seed):
    """German-English pairs of a toy grammar: the participle goes to the end in German, the time to the front."""
    rng = random.Random(seed)
    pairs = []
    for _ in range(count):
        subject, thing = rng.choice(NOUNS), rng.choice(NOUNS)
        verb, time = rng.choice(VERBS), rng.choice(TIMES)
        german = f"{time[0].capitalize()} hat der {subject[0]} den {thing[0]} {verb[0]}."
        pairs.append((german, f"The {subject[1]} has {verb[1]} the {thing[1]} {time[1]}."))
    return pairs


def write_pair(prefix, pairs):
    """prefix.de and prefix.en, one sentence a line."""
    for side, language in enumerate(("de", "en")):
        path = Path(f"{prefix}.{language}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{pair[side]}\n" for pair in pairs), encoding="utf-8")


def snapshot(folder):
    """Every path below a folder: a dry run must leave it as it was."""
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))


ARCH = "transformer_neuralqkv_tiny"


TINY = [
    *("--encoder-layers", "1", "--encoder-embed-dim", "16", "--encoder-ffn-embed-dim", "16"),
    *("--decoder-layers", "1", "--decoder-embed-dim", "16", "--decoder-ffn-embed-dim", "16"),
    *("--share-all-embeddings", "--lr", "0.01", "--warmup-updates", "5", "--dropout", "0.1"),
]


def train_arguments(data, save_dir, updates=24):
    options = ["--arch", ARCH, "--save-dir", save_dir, "--cpu", "--max-update", updates, "--max-tokens", 200]
    return [data / "bin", *options, "--save-every", 4, "--log-interval", 1]


def parameters(path):
    model = checkpoint_utils.load_checkpoint_to_cpu(str(path))["model"]
    # fairseq keeps a buffer of uninitialised memory, which only carries a type
    return {name: value for name, value in model.items() if not name.endswith("_float_tensor")}


def newest_updates(save_dir):
    state = checkpoint_utils.load_checkpoint_to_cpu(str(save_dir / "checkpoint_last.pt"))
    return state["optimizer_history"][-1]["num_updates"]


def wait_for(path, process, limit=120):
    deadline = time.monotonic() + limit
    while not path.exists():
        assert process.poll() is None, f"ended with {process.returncode} before {path} was there"
        assert time.monotonic() < deadline, f"no {path} after {limit} s"
        time.sleep(0.02)
