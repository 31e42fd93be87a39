"""Attention works where fairseq is not installed; test_arrows.py shows what it imports."""

import os
import subprocess
import sys

from pipeline_tools import ROOT

#: hundreds of random cases, what needs a compiler, a measurement of time, and parameters beside which there are others
LEFT_OUT = ("random_masks", "compiles", "linear_work", "-left", "True")


def test_the_contract_holds_where_fairseq_is_not_installed():
    """The contract of attention, its masks, caches and beams, in a process in which importing fairseq fails.

    One padded side, and one value of each switch: what they change is torch's affair, and tested beside fairseq.
    """
    files = [f"tests/attention/test_{name}.py" for name in ("contract", "kernels", "multihead", "pruning", "authors")]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--noconftest", "-p", "no_fairseq", *files]
    command += ["-n0", "-p", "no:cacheprovider", "-k", f"not ({' or '.join(LEFT_OUT)})"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout
