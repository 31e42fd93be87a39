"""What heads do, in numbers, and which heads of two models are alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from .recording import Array
from .sentence import Sentence

#: a head is called by what it does with at least this share of its weight
SHARE = 0.4
#: broad is a head whose entropy is at least this part of the largest that it could have
BROAD = 0.8
KINDS = ("previous", "next", "self", "diagonal", "first", "last", "punctuation", "broad", "mixed")


class Head(NamedTuple):
    """Means over all queries of all sentences.

    Args:
        kind: one of :data:`KINDS`.
        share: of the weight that goes where the kind says.
        entropy: in nats.
        distance: tokens between query and key; in cross-attention from the key that stands at the same part of its
            sentence.
        error: of a sparse mixing, ``|o - o'| / |o|``; None where the mixing is dense.
    """

    kind: str
    share: float
    entropy: float
    distance: float
    error: float | None


def heads_of(sentences: Sequence[Sentence], site: str) -> list[list[Head]]:
    """Layer by layer the heads of a site."""
    there = [sentence for sentence in sentences if site in sentence.sites]
    layers = range(len(there[0].sites[site])) if there else ()
    return [_layer(there, site, layer) for layer in layers]


def _layer(sentences: Sequence[Sentence], site: str, layer: int) -> list[Head]:
    totals: dict[str, Any] = {}
    queries = 0
    for sentence in sentences:
        found = sentence.sites[site][layer]
        weights = np.asarray(found.used, dtype=np.float64)
        values = {name: (weights * where).sum((1, 2)) for name, where in _regions(sentence, site).items()}
        logs = np.log(weights, where=weights > 0, out=np.zeros_like(weights))
        values["entropy"] = -(weights * logs).sum((1, 2))
        values["possible"] = np.full(len(weights), _possible(weights))
        if found.error is not None:
            values["error"] = np.asarray(found.error, dtype=np.float64).sum(1)
        for name, value in values.items():
            totals[name] = totals.get(name, 0.0) + value
        queries += weights.shape[1]
    means = {name: total / max(queries, 1) for name, total in totals.items()}
    return [_head({name: float(mean[head]) for name, mean in means.items()}) for head in range(len(means["entropy"]))]


def _possible(weights: Array) -> float:
    """The sum over queries of the largest entropy that they could have, under a causal mask or without one."""
    _, queries, keys = weights.shape
    causal = queries == keys and not np.triu(weights, 1).any()
    return float(np.log(np.arange(1, keys + 1)).sum()) if causal else float(queries * np.log(keys))


def _regions(sentence: Sentence, site: str) -> dict[str, Array]:
    """Name -> (T, S), what of the weights counts for it."""
    rows, columns = sentence.edges(site)
    at, to = np.arange(len(rows.pieces))[:, None], np.arange(len(columns.pieces))[None, :]
    found: dict[str, Array] = {
        "first": (to == 0) & (at >= 0),
        "last": (to == to.max()) & (at >= 0),
        "punctuation": np.array(columns.punctuation())[None, :] & (at >= 0),
    }
    if site == "cross":
        place = at * (len(columns.pieces) - 1) / max(len(rows.pieces) - 1, 1)
        return {**found, "diagonal": abs(to - place) <= 1, "distance": abs(to - place)}
    return {**found, "previous": to == at - 1, "next": to == at + 1, "self": to == at, "distance": abs(to - at)}


def _head(means: dict[str, float]) -> Head:
    shares = {name: means[name] for name in KINDS if name in means}
    kind = max(shares, key=shares.__getitem__)
    share = shares[kind]
    if share < SHARE:
        kind = "broad" if means["possible"] > 0 and means["entropy"] >= BROAD * means["possible"] else "mixed"
    return Head(kind, share, means["entropy"], means["distance"], means.get("error"))


def paired(ours: Sequence[Sentence], theirs: Sequence[Sentence], site: str) -> list[tuple[int, int, int, int, float]]:
    """Heads of two models that are most alike, one to one: layer and head of each, and how alike they are.

    How alike is the part of the weight that both put on the same keys, from 0 to 1, averaged over all queries; the
    pairs are those of the largest sum (the Hungarian method).
    """
    both = [(a, b) for a, b in zip(ours, theirs) if site in a.sites and site in b.sites]
    if not both:
        return []
    places = [
        [(layer, head) for layer, one in enumerate(sentence.sites[site]) for head in range(len(one.used))]
        for sentence in both[0]
    ]
    alike = np.zeros([len(place) for place in places])
    queries = 0
    for a, b in both:
        mine, yours = (np.concatenate([one.used for one in sentence.sites[site]]) for sentence in (a, b))
        for at, weights in enumerate(mine):
            alike[at] += np.minimum(weights[None], yours).sum((1, 2))
        queries += mine.shape[1]
    alike /= max(queries, 1)
    rows, columns = linear_sum_assignment(alike, maximize=True)
    return [(*places[0][a], *places[1][b], float(alike[a, b])) for a, b in zip(rows, columns)]
