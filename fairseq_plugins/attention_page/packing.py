"""What the page holds of a sentence: weights as bytes, compressed, and all else as JSON."""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fairseq_plugins.errors import UserError

from .heads import Head
from .recording import Array
from .sentence import Sentence
from .sides import Side

#: the byte of weight 1
ONE = 255


class Packed:
    """Arrays one behind the other, as bytes whose largest value is told by their scale."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def add(self, arrays: Sequence[Array], least: float = 1.0) -> float:
        """Append arrays with one scale, at least ``least``; returns it: ``value = byte / 255 * scale``.

        Raises:
            UserError: a value is negative, infinite or no number.
        """
        scale = least
        for array in arrays:
            if array.size and not (np.isfinite(array).all() and array.min() >= 0):
                raise UserError("the model's attention has weights that are negative or no numbers; was it trained?")
            scale = max(scale, float(array.max(initial=0.0)))
        scale = 1.0 if scale < 1.0 + 1e-4 and least == 1.0 else scale  # rounding of weights that sum to 1
        for array in arrays:
            self.parts.append(np.rint(np.clip(array / scale, 0, 1) * ONE).astype(np.uint8).tobytes())
        return scale

    def text(self) -> str:
        """Everything, by zlib and base64."""
        return base64.b64encode(zlib.compress(b"".join(self.parts), 9)).decode("ascii")


def pack(sentence: Sentence) -> tuple[dict[str, Any], str]:
    """A sentence as JSON's values, and its weights: site by site and layer by layer those used, the dense ones and the
    errors where the mixing is sparse, and at the end the beam's.
    """
    packed = Packed()
    sites: dict[str, Any] = {}
    for site, layers in sentence.sites.items():
        sites[site] = [_layer(packed, layer) for layer in layers]
    beam = None
    if sentence.beam is not None:
        found = sentence.beam
        beam = {
            "nodes": [[node.parent, node.piece, round(node.score, 4)] for node in found.nodes],
            "steps": found.steps,
            "finished": [["".join(pieces), pieces, round(score, 4)] for pieces, score in found.finished],
            "heads": [len(layer) for layer in found.weights],
            "scale": packed.add(found.weights),
        }
    content = {
        "source": _side(sentence.source),
        "inputs": _side(sentence.inputs),
        "target": _side(sentence.target),
        "losses": None if sentence.losses is None else [_number(loss) for loss in sentence.losses],
        "verdict": sentence.verdict,
        "note": sentence.note,
        "sites": sites,
        "beam": beam,
    }
    return content, packed.text()


def _layer(packed: Packed, layer: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"heads": len(layer.used), "scale": packed.add([layer.used])}
    if layer.dense is not None:
        found["dense"] = packed.add([layer.dense])
        found["error"] = packed.add([layer.error], least=1e-6)
    return found


def _side(one: Side | None) -> dict[str, Any] | None:
    return None if one is None else {"pieces": one.pieces, "words": one.words, "labels": one.labels()}


def _number(value: float | None) -> float | str | None:
    """JSON has no infinity."""
    return value if value is None else round(value, 4) if math.isfinite(value) else "inf"


def head_facts(head: Head, rates: Sequence[float] | None) -> dict[str, Any]:
    """What the overview says of a head; the rates are its alignment error rates."""
    found: dict[str, Any] = {
        name: round(value, 4) if isinstance(value, float) else value for name, value in head._asdict().items()
    }
    return {**found, "rates": None if rates is None else [round(rate, 4) for rate in rates]}


def inside_script(content: Any) -> str:
    """JSON that cannot end the script element that it stands in."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def arrays_of(models: Iterable[Sequence[Sentence]]) -> dict[str, Array]:
    """Name -> array, in full precision: ``MODEL/LINE/SITE/LAYER/used`` (H, T, S), ``dense``, ``error`` (H, T)."""
    found: dict[str, Array] = {}
    for number, sentences in enumerate(models):
        for sentence in sentences:
            for site, layers in sentence.sites.items():
                for at, layer in enumerate(layers):
                    named = {name: value for name, value in layer._asdict().items() if value is not None}
                    found |= {
                        f"{'ab'[number]}/{sentence.number}/{site}/{at}/{name}": value for name, value in named.items()
                    }
    return found
