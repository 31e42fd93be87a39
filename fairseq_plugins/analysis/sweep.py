"""Every mixing at every r, one after the other: what is done is on the disk, and a second start goes on from there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from fairseq_plugins.attention.stages import Mixing
from fairseq_plugins.errors import UserError
from fairseq_plugins.left_out import LeftOut
from fairseq_plugins.runtime.durable import write_whole

from .measure import ErrorOfMixing, Observer, Place, Weights, build_mixing, mixed

DENSE = "dense"
#: what is measured of a whole model: what it is called, its key in a result, its digits
MEASURED = (("loss", "loss", 4), ("BLEU", "bleu", 2))


class Bleu(NamedTuple):
    """How translations are made and scored; see :meth:`.evaluate.Evaluation.bleu`."""

    beam: int
    remove_bpe: str | None
    detok: str


class Model(Protocol):
    """A trained model and its data."""

    left_out: LeftOut

    @property
    def tokens(self) -> int:
        """Of all batches."""

    @property
    def longest(self) -> int:
        """Positions of the longest source."""

    split: str

    def places(self, sites: Sequence[str] | None) -> list[Place]:
        """Its attention."""

    def loss(self, observers: Sequence[Observer] = (), found: Sequence[Place] = ()) -> float | None:
        """Mean loss in nats a token; None where nothing is predicted. Observers see all text on the way."""

    def bleu(self, beam: int, remove_bpe: str | None, detok: str) -> float:
        """BLEU of its translations."""


class Sweep:
    """The results of one checkpoint, in ``FOLDER/analysis.json``.

    Args:
        folder: made if it is not there.
        setting: all that the numbers depend on; a folder of another setting is refused.

    Raises:
        UserError: the folder holds results of another setting; the message says what differs.
    """

    def __init__(self, folder: str, setting: dict[str, Any]) -> None:
        self.path = Path(folder) / "analysis.json"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.content: dict[str, Any] = {"setting": setting, "weights": None, "results": []}
        if self.path.exists():
            self.content = json.loads(self.path.read_text(encoding="utf-8"))
            before = self.content["setting"]
            changed = [name for name in setting if before.get(name) != setting[name]]
            if changed:
                what = ", ".join(f"{name} {before.get(name)} (now {setting[name]})" for name in changed)
                raise UserError(f"{self.path} has results for another {what}: give another --out, or remove it")

    def run(
        self,
        evaluation: Callable[[], Model],
        sites: Sequence[str] | None,
        mixings: Sequence[str],
        rs: Sequence[int],
        options: dict[str, Any],
        bleu: Bleu | None,
        report: Callable[[str], None],
    ) -> dict[str, Any]:
        """Do what is not done yet, most telling first: dense, then each r for all mixings, the smallest first.

        Args:
            evaluation: makes the model with its data, where there is something left to do.
            sites: whose attention is mixed sparsely; the others stay dense.
            options: of the mixings.
            report: called with a line after each part.

        Returns:
            The content of the file.

        Raises:
            UserError: an option of a mixing has no meaning.
        """
        wanted = [(DENSE, 0), *((name, r) for r in sorted(rs) for name in mixings)]
        left = [part for part in wanted if part not in self._done()]
        if not left:
            return self.content
        try:
            for name, r in left:
                build_mixing(name, r, **options)
        except ValueError as error:
            raise UserError(str(error)) from error
        model = evaluation()
        if model.left_out:
            self.content["left out"] = str(model.left_out)
        found = model.places(sites)
        report(f"{model.tokens:,} tokens of {model.split}, source of up to {model.longest}, {len(left)} parts to do")
        started = time.time()
        for number, (name, r) in enumerate(left, 1):
            if name == DENSE:
                self.content["weights"] = self._weights(model, found, rs)
            result = self._part(model, found, name, r, options, bleu)
            self.content["results"].append(result)
            self._save()
            seconds = (time.time() - started) / number * (len(left) - number)
            ahead = f"; {number} of {len(left)}, about {seconds:.0f} s left" if number < len(left) else ""
            report(f"{describe(result)}{ahead}")
        return self.content

    def _done(self) -> list[tuple[str, int]]:
        return [(result["mixing"], result["r"]) for result in self.content["results"]]

    def _weights(self, model: Model, found: Sequence[Place], rs: Sequence[int]) -> list[dict[str, Any]]:
        with mixed(found, lambda _: Weights(rs)) as observers:
            model.loss(observers, found)
            return [
                {"site": place.site, "layer": place.layer, **observer.result()}
                for place, observer in zip(found, observers)
            ]

    def _part(
        self,
        model: Model,
        found: Sequence[Place],
        name: str,
        r: int,
        options: dict[str, Any],
        bleu: Bleu | None,
    ) -> dict[str, Any]:
        def build(_: Place) -> Mixing:
            return build_mixing(name, r, **options)

        result: dict[str, Any] = {"mixing": name, "r": r, "errors": []}
        if name != DENSE:
            with mixed(found, lambda place: ErrorOfMixing(build(place))) as observers:
                model.loss(observers, found)
                result["errors"] = [
                    {"site": place.site, "layer": place.layer, "error": observer.result()}
                    for place, observer in zip(found, observers)
                ]
        with mixed(found, build):
            loss = model.loss()
            result |= {} if loss is None else {"loss": loss}
            if bleu is not None:
                result["bleu"] = model.bleu(*bleu)
        return result

    def _save(self) -> None:
        write_whole(self.path, f"{json.dumps(self.content, indent=1)}\n".encode())


def mean_error(result: dict[str, Any]) -> float:
    """The error of a part, averaged over all heads; 0 for dense mixing."""
    errors = [error for place in result["errors"] for error in place["error"]]
    return sum(errors) / len(errors) if errors else 0.0


def describe(result: dict[str, Any]) -> str:
    """A line for a person."""
    what = result["mixing"] if result["mixing"] == DENSE else f"{result['mixing']}, r = {result['r']}"
    parts = [f"{name} {result[key]:.{digits}f}" for name, key, digits in MEASURED if key in result]
    parts += [] if result["mixing"] == DENSE else [f"output error {mean_error(result):.4f}"]
    return f"{what}: {', '.join(parts) or 'done'}"
