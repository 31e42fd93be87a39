"""The tables for a paper."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from .cells import differences, notes, scores, signatures
from .numerals import MINUS, NOTHING
from .svg import FORBIDDEN

NEEDS = r"""% \usepackage{booktabs}
% \usepackage{graphicx} % \resizebox, where a table is too wide
% With pdfLaTeX also \usepackage[T1]{fontenc}; names in other scripts need XeLaTeX or LuaLaTeX."""
SPECIAL = {
    "\\": r"\textbackslash{}",
    "[": "{[}",  # after the end of a row these would belong to it
    "*": "{*}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "±": r"$\pm$",
    MINUS: "$-$",
    NOTHING: "--",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}


def as_latex(results: Mapping[str, Any]) -> str:
    r"""One or two ``table`` environments to ``\input``, with a comment that names the packages."""
    header, rows = scores(results)
    body = [" & ".join(map(escaped, row)) + r" \\" for row in rows]
    remarks = " ".join(escaped(note) for note in notes(results))
    parts = [
        f"% {' '.join(results['title'].split())}",
        NEEDS,
        *(f"% {' '.join(signature.split())}" for signature in signatures(results)),
        _table(header, body, f"{escaped(results['title'])}. {remarks}", "scores"),
    ]
    header, rows = differences(results)
    if rows:
        body = []
        for metric, group in groupby(rows, key=lambda row: row[0]):
            body += [r"\midrule"] if body else []
            body.append(rf"\multicolumn{{{len(header) - 1}}}{{l}}{{\emph{{{escaped(metric)}}}}} \\")
            body += [" & ".join(map(escaped, row[1:])) + r" \\" for row in group]
        caption = f"Differences to {escaped(results['baseline'])}, with 95\\,\\% intervals over seeds and test units."
        parts.append(_table(header[1:], body, caption, "differences"))
    return "\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Text as LaTeX sets it, in one line."""
    line = " ".join(FORBIDDEN.sub("", text).split())
    return re.sub("|".join(map(re.escape, SPECIAL)), lambda found: SPECIAL[found.group()], line)


def _table(header: Sequence[str], body: Sequence[str], caption: str, name: str) -> str:
    columns = "l" + "r" * (len(header) - 1)
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{caption}}}",
            rf"  \label{{tab:{name}}}",
            rf"  \begin{{tabular}}{{@{{}}{columns}@{{}}}}",
            r"    \toprule",
            f"    {' & '.join(map(escaped, header))} \\\\",
            r"    \midrule",
            *(f"    {line}" for line in body),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
        ]
    )
