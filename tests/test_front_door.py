"""``import fairseq_plugins`` costs nothing, and whatever is imported first, everything ends registered, once."""

import json
import subprocess
import sys

import pytest
from pipeline_tools import ROOT

USE = "utils.import_user_module(Namespace(user_dir=plugin))"
#: what a program may do, in this order -> whether everything is registered then
ORDERS = {
    "import fairseq_plugins": None,
    f"from fairseq import utils; {USE}": True,
    f"import fairseq_plugins; from fairseq import utils; {USE}": True,
    f"import fairseq_plugins, fairseq; import fairseq.models; from fairseq import utils; {USE}": True,
    f"from fairseq import utils; import fairseq_plugins; {USE}; {USE}": True,
    "import fairseq.models, fairseq_plugins": True,
    "import fairseq_plugins.models": True,
    "import fairseq_plugins.attention": None,
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


@pytest.mark.parametrize("do", ORDERS)
def test_every_order(do, plugin, tmp_path):
    program = [sys.executable, "-c", PROGRAM.format(do=do), str(plugin)]
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(program, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    heavy, there, grids = json.loads(done.stdout.splitlines()[-1])
    if ORDERS[do] is None:
        assert heavy == (["torch", "numpy"] if "attention" in do else [])
        assert not there
    else:
        assert there
        assert grids == ["fairseq_plugins.models.grid"]
