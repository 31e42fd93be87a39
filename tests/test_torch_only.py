"""Attention works where fairseq is not installed; test_arrows.py shows what it imports."""

import os
import subprocess
import sys

from pipeline_tools import ROOT


def test_the_contract_holds_where_fairseq_is_not_installed():
    """The contract of attention, its masks, caches and beams, in a process in which importing fairseq fails."""
    files = [f"tests/attention/test_{name}.py" for name in ("contract", "kernels", "multihead", "pruning", "authors")]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--noconftest", "-p", "no_fairseq", *files]
    command += ["-n0", "-p", "no:cacheprovider", "-k", "not random_masks and not compiles"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout
