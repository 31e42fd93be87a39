#!/usr/bin/env python3
"""From fairseq-generate's log to text in the order of the corpus: collect_hypotheses.py LOG OUT_DIR LANGUAGE [RECORD].

Writes OUT_DIR/hyp.tok and OUT_DIR/hyp.detok.LANGUAGE. Every sentence that fairseq loaded needs exactly one
hypothesis (the best one), or this stops. Those that it was told to leave out get an empty line each, so that all lines
keep their places, and what the log says of them is printed. RECORD is the text.json of the corpus: words become text as
it says. Without one, or where it is of other languages, they are detokenised by sacremoses.
"""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

LOADED = re.compile(r"loaded ([\d,]+) examples from: ")
HYPOTHESIS = re.compile(r"H-(\d+)\t[^\t]*\t?(.*)")
LEFT_OUT = re.compile(r"([\d,]+) of [\d,]+ sentences \([\d,]+ tokens\) were left out: .*")


def read_log(path: str) -> "tuple[int, dict[int, str], re.Match[str] | None]":
    """The number of sentences loaded, the best hypothesis of each by its number, and what is said of those left out."""
    loaded = left_out = None
    hypotheses: dict[int, str] = {}
    with open(path, encoding="utf-8", newline="\n") as log:
        for line in log:
            match = LOADED.search(line)
            if match and loaded is None:
                loaded = int(match[1].replace(",", ""))
            match = HYPOTHESIS.fullmatch(line.rstrip("\n"))
            left_out = LEFT_OUT.fullmatch(line.rstrip("\n")) or left_out
            if match:
                # With --nbest the best comes first.
                hypotheses.setdefault(int(match[1]), match[2])
    if loaded is None:
        sys.exit(f"generate.sh: error: {path} does not say how many sentences were loaded")
    return loaded, hypotheses, left_out


def detokeniser(language: str, record: "str | None") -> "Callable[[str], str]":
    """What makes plain text of a line of words."""
    from fairseq_plugins.text.record import read_record
    from fairseq_plugins.text.steps import Sacremoses

    found = read_record(record) if record is not None else None
    if found is not None and language in found.steps:
        return found.decoder(language, of_words=True)
    return Sacremoses(language, ["tokenize"]).decoder(Path())


def collect(log: str, out: str, language: str, record: "str | None" = None) -> "tuple[int, str]":
    """Write the texts; returns the number of sentences, and what to say of those left out."""
    loaded, hypotheses, left_out = read_log(log)
    said = ""
    missing = [number for number in range(loaded) if number not in hypotheses]
    if left_out and int(left_out[1].replace(",", "")) == len(missing):
        said = f"{left_out[0]}; their lines are empty"
        hypotheses.update(dict.fromkeys(missing, ""))
        missing = []
    if missing or len(hypotheses) != loaded:
        first = f"; the first without one is number {missing[0]} (counted from 0)" if missing else ""
        sys.exit(f"generate.sh: error: {loaded} sentences but {len(hypotheses)} hypotheses in {log}{first}")

    detokenise = detokeniser(language, record)
    lines = [hypotheses[number] for number in range(loaded)]
    for name, text in (
        ("hyp.tok", lines),
        (f"hyp.detok.{language}", list(map(detokenise, lines))),
    ):
        with open(os.path.join(out, name), "w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in text)
    return loaded, said


if __name__ == "__main__":
    _, left_out = collect(*sys.argv[1:])
    if left_out:
        print(left_out)
