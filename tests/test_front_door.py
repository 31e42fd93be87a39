"""``import fairseq_plugins`` costs nothing, and whatever is imported first, everything ends registered, once."""

import argparse
import json
import subprocess
import sys

from pipeline_tools import ROOT

from fairseq_plugins.commands import export_ctranslate2
from fairseq_plugins.transfer.ctranslate2.exporting import QUANTIZATIONS

USE = "utils.import_user_module(Namespace(user_dir=plugin))"
#: what a program may do, in this order -> whether everything is registered then
ORDERS = {
    f"from fairseq import utils; {USE}": True,
    f"import fairseq_plugins; from fairseq import utils; {USE}": True,
    f"import fairseq_plugins, fairseq; import fairseq.models; from fairseq import utils; {USE}": True,
    f"from fairseq import utils; import fairseq_plugins; {USE}; {USE}": True,
    "import fairseq.models, fairseq_plugins": True,
    "import fairseq_plugins.models": True,
    "import fairseq_plugins.attention": False,
}
PROGRAM = """
import sys, json
from argparse import Namespace
plugin = sys.argv[1]
{do}
heavy = [name for name in ("torch", "fairseq", "numpy") if name in sys.modules]
models = sys.modules.get("fairseq.models")
there = models and "transformer_neuralqkv_tiny" in models.ARCH_MODEL_REGISTRY
grids = [name for name in sys.modules if name.endswith("models.grid")]
print(json.dumps([heavy, there, grids]))
"""
#: a process that has imported torch, and what else of others fairseq imports, runs each program in a fork
AFTER_TORCH = """
import gc, json, os, sys, torch
import hydra.experimental, omegaconf, sacrebleu, tqdm, regex, torch.onnx, bitarray
assert not {"fairseq", "fairseq_plugins"} & set(sys.modules)
gc.disable()
gc.freeze()
for program in json.loads(sys.argv.pop()):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        exec(program, {"__name__": "__main__"})
        sys.stdout.flush()
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit(program)
"""


def answers(folder, *arguments):
    """What the programs print, one line each."""
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", *map(str, arguments)]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[[")]


def test_the_package_itself_imports_nothing_heavy(plugin, tmp_path):
    ((heavy, there, _),) = answers(tmp_path, PROGRAM.format(do="import fairseq_plugins"), plugin)
    assert heavy == []
    assert not there


def test_every_order(plugin, tmp_path):
    """Attention imports torch alone; what is for fairseq is there, once, where fairseq's models are."""
    programs = [PROGRAM.format(do=do) for do in ORDERS]
    found = answers(tmp_path, AFTER_TORCH, plugin, json.dumps(programs))
    assert len(found) == len(programs) == 7
    for registered, (heavy, there, grids) in zip(ORDERS.values(), found, strict=True):
        assert bool(there) == registered
        assert grids == (["fairseq_plugins.models.grid"] if registered else [])
        assert heavy == ["torch", *(["fairseq"] if registered else []), "numpy"]


HELP = """
import contextlib, io, sys
from fairseq_plugins import cli
for command in [[], *([name] for name in cli.COMMANDS)]:
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        cli.main([*command, "--help"])
    assert text.getvalue().startswith("usage: "), command
    heavy = [name for name in ("torch", "fairseq", "numpy") if name in sys.modules]
    assert not heavy, (command, heavy)
"""


def test_help_of_every_command_imports_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", HELP], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_choices_that_a_light_help_writes_out_are_those_there_are():
    parser = argparse.ArgumentParser()
    export_ctranslate2.add_arguments(parser)
    assert parser.parse_args(["a", "b", "--dict", "c"]).quantization in QUANTIZATIONS
    [choices] = [action.choices for action in parser._actions if action.dest == "quantization"]
    assert choices == QUANTIZATIONS
