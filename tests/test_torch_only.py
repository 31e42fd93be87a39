"""Attention needs torch and numpy alone."""

import ast
import os
import subprocess
import sys

from pipeline_tools import ROOT


def imported(path):
    """The packages that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]


def test_attention_imports_torch_and_numpy_alone():
    files = list((ROOT / "fairseq_plugins" / "attention").rglob("*.py"))
    assert len(files) > 30
    found = {name for path in files for name in imported(path)}
    assert found - set(sys.stdlib_module_names) == {"torch", "numpy"}


def test_the_contract_holds_where_fairseq_is_not_installed():
    """The contract of attention, its masks, caches and beams, in a process in which importing fairseq fails."""
    files = [f"tests/attention/test_{name}.py" for name in ("contract", "kernels", "multihead", "pruning", "authors")]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--noconftest", "-p", "no_fairseq", *files]
    command += ["-n0", "-p", "no:cacheprovider", "-k", "not random_masks and not compiles"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout
