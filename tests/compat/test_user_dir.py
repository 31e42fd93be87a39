"""Roads to the package that have another name, and a user's folder that takes two plugins at once."""

import json
import os
import shutil
import subprocess

import pytest
from zygote import quick_python

SCRIPT = """
import json, os, sys
from argparse import Namespace
import fairseq.criterions, fairseq.models, fairseq.optim, fairseq.tasks
from fairseq import utils
package = sys.argv[1]
sys.path[:] = [path for path in sys.path if not os.path.isdir(os.path.join(path, "fairseq_plugins"))]
# and not by what an editable installation looks it up with
sys.meta_path[:] = [finder for finder in sys.meta_path if not finder.find_spec("fairseq_plugins", None)]

def take(roads):
    for road in roads:
        utils.import_user_module(Namespace(user_dir=road))
    ours = sys.modules["fairseq_plugins"]
    assert "transformer_baseline_tiny" in fairseq.models.ARCH_MODEL_REGISTRY
    twice = [name for name, module in sys.modules.items()
             if name.endswith(".models.grid") and module is not sys.modules["fairseq_plugins.models.grid"]]
    return [os.path.realpath(os.path.dirname(ours.__file__)), twice, "other_task" in fairseq.tasks.TASK_REGISTRY]

for roads in json.loads(sys.argv[2]):
    sys.stdout.flush()
    if os.fork() == 0:
        try:
            print(json.dumps(take(roads)))
        except BaseException as error:
            print(json.dumps(f"{type(error).__name__}: {error}"))
        sys.stdout.flush()
        os._exit(0)
    os.wait()
"""
OTHER = """
from fairseq.tasks import FairseqTask, register_task
@register_task("other_task")
class Task(FairseqTask):
    pass
"""


@pytest.fixture(scope="module")
def came(plugin, tmp_path_factory):
    """Roads -> where the package is that they led to, what was imported twice, whether another plugin came along."""
    folder = tmp_path_factory.mktemp("roads")
    clean = shutil.ignore_patterns("__pycache__")
    (folder / "linked").symlink_to(plugin)
    for copy in ("renamed", "changed", "same/fairseq_plugins"):
        shutil.copytree(plugin, folder / copy, ignore=clean)
    (folder / "changed" / "cli.py").write_text("# another version\n")
    (folder / "holds").mkdir()
    (folder / "holds" / "fairseq_plugins").symlink_to(plugin)
    (folder / "holds" / "__init__.py").write_text("from . import fairseq_plugins\n")
    (folder / "elsewhere" / "other_plugin").mkdir(parents=True)
    (folder / "elsewhere" / "other_plugin" / "__init__.py").write_text(OTHER)
    (folder / "both").mkdir()
    paths = f"import sys\nsys.path[:0] = [{str(plugin.parent)!r}, {str(folder / 'elsewhere')!r}]\n"
    (folder / "both" / "__init__.py").write_text(f"{paths}import other_plugin, fairseq_plugins\n")
    ways = [road.format(plugin=plugin).split() for road in ROADS]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [quick_python(), "-c", SCRIPT, str(plugin), json.dumps(ways)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(zip(ROADS, map(json.loads, done.stdout.splitlines())))


#: folders in the order in which they are given; what they lead to
ROADS = {
    "linked {plugin} linked/ renamed same/fairseq_plugins": (True, False),
    "{plugin} linked renamed holds both": (True, True),
    "holds linked": (True, False),
    "both linked renamed both {plugin}": (True, True),
    "same/fairseq_plugins linked": (False, False),
    "renamed": "renamed holds the package fairseq_plugins under the name renamed: rename it, or link to it",
    "{plugin} changed": "have the same name and different contents",
}


@pytest.mark.parametrize("roads", ROADS)
def test_every_road_leads_to_one_package(roads, came, plugin):
    if isinstance(ROADS[roads], str):
        assert came[roads].startswith("ImportError: ")
        assert ROADS[roads] in came[roads]
        return
    itself, other = ROADS[roads]
    found, twice, task = came[roads]
    assert (found == str(plugin.resolve()), twice, task) == (itself, [], other)
