"""The page itself: one file that asks for nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from fairseq_plugins.report.page import palette
from fairseq_plugins.report.page.html import HERE as REPORT
from fairseq_plugins.report.page.html import environment

from .heads import heads_of, paired
from .packing import head_facts, inside_script, pack
from .sentence import EDGES, Model, Sentence

HERE = Path(__file__).parent
#: in the order of their use
SCRIPTS = ("data.js", "labels.js", "matrix.js", "lines.js", "overview.js", "search.js", "save.js", "main.js")


def attention_page(
    models: Sequence[tuple[Model, Sequence[Sentence]]], title: str, rates: Sequence[Any] | None = None
) -> str:
    """The page of one or two models on the same sentences.

    Args:
        models: and what they did with each sentence.
        title: of the page.
        rates: alignment error rates of the first model's heads of cross-attention, layer by layer.
    """
    blobs: list[tuple[str, str]] = []
    sentences = []
    for at, both in enumerate(zip(*(found for _, found in models))):
        packed = [pack(sentence) for sentence in both]
        blobs += [(f"weights-{at}-{number}", text) for number, (_, text) in enumerate(packed)]
        sentences.append({"number": both[0].number, "models": [content for content, _ in packed]})
    described = [
        {
            "name": model.name,
            "kind": model.kind,
            "facts": model.facts,
            "heads": {site: _heads(found, site, rates if number == 0 else None) for site in EDGES if _has(found, site)},
        }
        for number, (model, found) in enumerate(models)
    ]
    pairs = {}
    if len(models) == 2:
        (_, ours), (_, theirs) = models
        pairs = {site: paired(ours, theirs, site) for site in EDGES if _has(ours, site) and _has(theirs, site)}
    content = {"title": title, "models": described, "sentences": sentences, "pairs": pairs}
    return (
        environment(HERE, REPORT)
        .get_template("page.html.jinja")
        .render(
            title=title,
            models=described,
            light=palette.LIGHT,
            dark=palette.DARK,
            style=Markup((HERE / "style.css").read_text(encoding="utf-8")),
            scripts=[Markup((HERE / name).read_text(encoding="utf-8")) for name in SCRIPTS],
            theme=Markup((REPORT / "theme.js").read_text(encoding="utf-8")),
            content=Markup(inside_script(content)),
            blobs=[(name, Markup(text)) for name, text in blobs],
        )
    )


def _has(sentences: Sequence[Sentence], site: str) -> bool:
    return any(site in sentence.sites for sentence in sentences)


def _heads(sentences: Sequence[Sentence], site: str, rates: Any) -> list[list[dict[str, Any]]]:
    return [
        [
            head_facts(head, rates[layer][number] if rates and site == "cross" else None)
            for number, head in enumerate(heads)
        ]
        for layer, heads in enumerate(heads_of(sentences, site))
    ]
