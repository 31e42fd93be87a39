"""scripts/gpu_evidence.sh on the CPU: its parts, what a failure leaves, and a second call.

All of it: ``bash scripts/gpu_evidence.sh --out DIR --smoke --cpu``, two minutes.
"""

import re

from pipeline_tools import script

#: without the benchmarks, which start a Python for each system and have tests of their own
PARTS = ("machine", "tests", "attention-kernels", "data", "trained-baseline", "text", "masked-lm-symmetric")


def evidence(out, *options, status=0):
    return script("scripts/gpu_evidence.sh", "--out", out, "--smoke", "--cpu", *options, status=status)


def test_parts_are_written_as_they_end_and_done_once(tmp_path):
    out = tmp_path / "evidence"
    out.mkdir()
    (out / "data").write_text("no folder")
    said = evidence(out, "--only", ",".join(PARTS[2:5]), status=1)
    assert re.search(r"08-data failed after \d+ s: .*; see .*/08-data\.err", said)
    assert re.search(r"09-trained-baseline failed", said)
    assert [path.name for path in out.glob("*.txt")] == ["03-attention-kernels.txt"]
    (out / "data").unlink()
    said = evidence(out, "--only", ",".join(PARTS))
    assert "03-attention-kernels" not in said
    assert {path.name[3:-4] for path in out.glob("*.txt")} == set(PARTS)
    written = (out / "evidence.md").read_text()
    assert re.search(r"^\d+ passed", written, re.M)
    assert "| float16 | causal | padded | " in written
    assert re.search(r"^BLEU \d+\.\d+ \(nrefs:1", written, re.M)
    assert re.search(r"^updates and validation loss in bits:\n6 \d+\.\d+$", written, re.M)
    assert evidence(out, "--only", ",".join(PARTS)).splitlines() == [f"gpu_evidence.sh: {out}/evidence.md"]


def test_what_it_cannot_do_it_says(tmp_path):
    assert "where to? Give --out" in script("scripts/gpu_evidence.sh", status=2)
    assert "no folder" in evidence(tmp_path, "--data", tmp_path / "none", status=2)
