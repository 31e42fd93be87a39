"""What the scripts make of text that holds all that is taken for a line's end."""

import subprocess
import sys

import pytest
from pipeline_tools import ROOT, script
from sacrebleu.metrics import BLEU

from fairseq_plugins import cli
from fairseq_plugins.lines import read_lines
from fairseq_plugins.parsing.score import score_sequences

LOG = """\
| loaded 4 examples from: x/test.de-en.de
S-1	ein\u2028Haus\r\x85
H-1	-0.5	a house .
D-1	-0.5	a\rhouse\x0c.
S-0	kein\rH-9	-0.1	nothing
H-0	-0.5	no\u00a0house ,\u2028here
S-3
H-3	-0.1	\u0020
"""


def collect(folder, log):
    (folder / "log").write_bytes(log.encode())
    command = [sys.executable, ROOT / "scripts" / "collect_hypotheses.py", folder / "log", folder, "en"]
    return subprocess.run(command, capture_output=True, text=True)


def test_hypotheses_are_collected_by_their_numbers(tmp_path):
    done = collect(tmp_path, LOG)
    assert done.returncode == 1
    assert "4 sentences but 3 hypotheses" in done.stderr
    assert "the first without one is number 2 " in done.stderr
    said = "1 of 4 sentences (9 tokens) were left out: longer than the model takes (source 5, target 5 tokens)"
    done = collect(tmp_path, f"{LOG}{said}\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{said}; their lines are empty\n"
    expected = ["no\u00a0house ,\u2028here", "a house .", "", " "]
    assert (tmp_path / "hyp.tok").read_bytes().decode() == "".join(f"{line}\n" for line in expected)
    assert (tmp_path / "hyp.detok.en").read_bytes().count(b"\n") == 4
    done = collect(tmp_path, f"{LOG}{said.replace('1 of', '2 of')}\n")
    assert done.returncode == 1, "two were left out, but only one is missing"


def test_scores_are_of_the_lines_of_the_files(tmp_path):
    hypotheses = ["the\rcat sat on the mat", "a\u2028dog was there today", "", "it is\x85\x1c late now\r"]
    references = ["the cat sat on a\r\rmat", "a dog was\u2029 there today", "nothing", "it is very\x0c late now"]
    for name, text in (("hyp", hypotheses), ("ref", references)):
        (tmp_path / name).write_bytes("\n".join(text).encode())
    expected = BLEU().corpus_score(hypotheses, [references]).score
    assert f"BLEU {expected:.2f} (" in script("scripts/score.sh", tmp_path / "hyp", tmp_path / "ref")
    assert list(read_lines(tmp_path / "hyp")) == hypotheses


@pytest.mark.parametrize("end", ["\n", ""])
def test_parses_are_scored_line_by_line(end, tmp_path):
    gold = "(S (NP (DT a) (NN dog)) (VP (VBZ barks)))"
    (tmp_path / "gold").write_bytes(f"{gold}\r\n{gold}{end}".encode())
    (tmp_path / "hyp").write_bytes(f"(S (NP XX\rXX )NP\u2028(VP XX )VP )S\n(S XX\x85XX XX )S{end}".encode())
    score = score_sequences(tmp_path / "gold", tmp_path / "hyp").score
    assert (score["all"]["sentences"], score["all"]["complete match"]) == (2, 50)
    assert score["repaired"]["sentences"] == 0
    (tmp_path / "hyp").write_bytes(b"(S XX\n\xff")
    assert cli.main(["parse-score", str(tmp_path / "gold"), str(tmp_path / "hyp")]) == 1
