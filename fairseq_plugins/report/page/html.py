"""The page: one file that asks for nothing else."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from . import numerals
from .axes import NARROW, WIDE
from .curves import TOGETHER, means
from .figures import BUCKETS, figures, primary_of
from .forest import inline, tests_of
from .marks import Figure, Marker
from .palette import DARK, LIGHT, series
from .svg import in_page, ornament
from .words import pieces

HERE = Path(__file__).parent


def as_html(results: Mapping[str, Any], times: Mapping[str, Any] | None) -> str:
    """The page; the section of times is there if times are."""
    drawn = [(kind, figures(results, width)) for kind, width in (("wide", WIDE), ("narrow", NARROW))]
    places = {model["name"]: place for place, model in enumerate(results["variants"])}
    return (
        environment(HERE)
        .get_template("report.html.jinja")
        .render(
            results=results,
            times=times,
            primary=primary_of(results),
            figures={  # each twice; the style shows one of them
                name: [
                    {"kind": kind, "svg": in_page(found[name], f"{name}-{kind}"), "panels": found[name].panels}
                    for kind, found in drawn
                ]
                for name in drawn[0][1]
            },
            analysis=results["analysis"] or {},
            buckets=[kind for kind in BUCKETS if kind in drawn[0][1]],
            light=LIGHT,
            dark=DARK,
            style=Markup((HERE / "style.css").read_text(encoding="utf-8")),
            theme=Markup((HERE / "theme.js").read_text(encoding="utf-8")),
            script=Markup((HERE / "script.js").read_text(encoding="utf-8")),
            interval=numerals.interval,
            pieces=pieces,
            key=lambda name: _key(places[name]) if name in places else "",
            whisker=lambda metric, name: _whisker(results, metric, places[name]),
            readout=[
                {"name": model["name"], "key": _key(place), "points": means(model)}
                for place, model in enumerate(results["variants"])
            ],
            panels=len(results["variants"]) > TOGETHER,
        )
    )


@functools.cache
def environment(*folders: Path) -> jinja2.Environment:
    """For the templates of pages; those in the first folder come before others of their name."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,  # a slip of the template is a fault and no blank
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        name: getattr(numerals, name) for name in ("number", "signed", "spread", "probability", "amount", "duration")
    }
    return found


def _key(place: int) -> Markup:
    """The symbol of a variant, before its name."""
    look = series(place)
    return ornament(Figure("", "", 14, 14, [Marker(7, 7, look.shape, look.colour, 4.2)]), "key")


def _whisker(results: Mapping[str, Any], metric: Mapping[str, Any], place: int) -> Markup:
    return ornament(inline(tests_of(results, metric["name"]), place, metric), "inline")
