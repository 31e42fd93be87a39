"""The files of a study's report."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairseq_plugins.lines import PathLike
from fairseq_plugins.runtime.durable import write_whole

from .axes import WIDE
from .figures import figures
from .html import as_html
from .latex import as_latex
from .lines import as_csv
from .markdown import as_markdown, times_as_markdown
from .pdf import as_pdf
from .svg import as_file


def write_report(results: Mapping[str, Any], times: Mapping[str, Any] | None, folder: PathLike) -> list[Path]:
    """Write the page and its twins; equal results give equal files, but for the page's section of times.

    Args:
        results: of a study, as ``results.json`` has them.
        times: as ``times.json`` has them; without them the page has no section for them.
        folder: made if need be.

    Returns:
        The files: ``report.html``, ``.md``, ``.tex``, ``results.csv``, ``.json``, ``times.json``, ``.md``, and
        ``figures/`` as SVG and, where matplotlib is installed, PDF.

    Raises:
        UserError: a file cannot be written.
    """
    # as they will be read again, their keys in order
    as_json = _json(results)
    results, times = json.loads(as_json), json.loads(_json(times))
    texts = {
        "report.html": as_html(results, times),
        "report.md": as_markdown(results),
        "report.tex": as_latex(results),
        "results.csv": as_csv(results),
        "results.json": as_json,
    }
    if times is not None:
        texts |= {"times.json": _json(times), "times.md": times_as_markdown(times)}
    files = {name: text.encode(errors="replace") for name, text in texts.items()}
    drawn = figures(results, WIDE)
    files |= {f"figures/{name}.svg": as_file(figure) for name, figure in drawn.items()}
    try:
        files |= {f"figures/{name}.pdf": as_pdf(figure) for name, figure in drawn.items()}
    except ModuleNotFoundError:
        print("figures as SVG alone, not as PDF: matplotlib is not installed (pip install matplotlib)", file=sys.stderr)
    (Path(folder) / "figures").mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        write_whole(Path(folder) / name, data)
    return [Path(folder) / name for name in files]


def _json(content: Mapping[str, Any] | None) -> str:
    return f"{json.dumps(content, indent=2, sort_keys=True, allow_nan=False)}\n"
