"""What fairseq's C++ extension ``libnat`` offers, in numpy: edit scripts between sentences of token ids.

A script turns x into y by insertions and deletions, each of cost 1; other tokens are kept. Of all shortest scripts one
is chosen, read from its end: an insertion wherever a shortest script may end with one, else a deletion, else a kept
token; so at one place deletions come before insertions. Names, arguments and results are those of the extension, which
Levenshtein Transformers (Gu et al. 2019) take their labels from. xs and ys are lists of sentences; an IndexError says
that ys has fewer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

Sentences = Sequence[Sequence[int]]

INSERT, DELETE, KEEP = range(3)


def compute_ed2(xs: Sentences, ys: Sentences) -> list[int]:
    """The number of operations of a shortest script for each pair of sentences."""
    ys = [ys[number] for number in range(len(xs))]
    table = _distances(xs, ys)
    return [int(table[len(x), number, len(y)]) for number, (x, y) in enumerate(zip(xs, ys))]


def suggested_ed2_path(xs: Sentences, ys: Sentences, terminal_symbol: int) -> list[list[list[int]]]:
    """For each pair ``len(x) + 2`` lists: what to insert before each token of x and at its end, and what to delete.

    A place without insertions holds the terminal symbol alone; the last list has 1 for a deleted token of x and 0 for a
    kept one. An empty x gives ``[y, []]``.
    """
    labels = []
    for x, y, script in _scripts(xs, ys):
        inserted: list[list[int]] = [[] for _ in range(len(x) + 1)]
        deleted: list[int] = []
        tokens = iter(y)
        for operation in script:
            if operation == INSERT:
                inserted[len(deleted)].append(next(tokens))
            else:
                deleted.append(int(operation == DELETE))
                if operation == KEEP:
                    next(tokens)
        labels.append([*_filled(x, inserted, terminal_symbol), deleted])
    return labels


def suggested_ed2_path_with_delete(
    xs: Sentences, ys: Sentences, terminal_symbol: int, deletion_symbol: int
) -> list[list[list[int]]]:
    """The same in ``len(x) + 1`` lists: a deleted token of x puts the deletion symbol where it would be inserted."""
    labels = []
    for x, y, script in _scripts(xs, ys):
        edits: list[list[int]] = [[] for _ in range(len(x) + 1)]
        place, tokens = 0, iter(y)
        for operation in script:
            if operation == INSERT:
                edits[place].append(next(tokens))
                continue
            if operation == DELETE:
                edits[place].append(deletion_symbol)
            else:
                next(tokens)
            place += 1
        labels.append(_filled(x, edits, terminal_symbol))
    return labels


def _filled(x: Sequence[int], places: list[list[int]], terminal_symbol: int) -> list[list[int]]:
    return [place or [terminal_symbol] for place in places] if len(x) else places


def _scripts(xs: Sentences, ys: Sentences) -> Iterator[tuple[Sequence[int], Sequence[int], list[int]]]:
    """Each pair with its script."""
    ys = [ys[number] for number in range(len(xs))]
    table = _distances(xs, ys)
    for number, (x, y) in enumerate(zip(xs, ys)):
        i, j = len(x), len(y)
        distance = table[: i + 1, number, : j + 1].tolist()
        script = []
        while i or j:
            here = distance[i][j]
            if j and distance[i][j - 1] < here:
                script.append(INSERT)
                j -= 1
            elif i and distance[i - 1][j] < here:
                script.append(DELETE)
                i -= 1
            else:
                script.append(KEEP)
                i -= 1
                j -= 1
        yield x, y, script[::-1]


def _distances(xs: Sentences, ys: Sentences) -> np.ndarray:
    """``[i, number, j]``: the distance from the first i tokens of a pair's x to the first j of its y."""
    x, y = _padded(xs), _padded(ys)
    steps = np.arange(y.shape[1] + 1, dtype=np.int32)
    table = np.empty((x.shape[1] + 1, len(xs), len(steps)), dtype=np.int32)
    table[0] = steps
    for i in range(1, len(table)):
        best = table[i - 1] + 1  # a deletion
        kept = x[:, i - 1, None] == y
        best[:, 1:][kept] = table[i - 1][:, :-1][kept]
        # insertions: d[j] = min over k <= j of best[k] + (j - k)
        table[i] = np.minimum.accumulate(best - steps, axis=1) + steps
    return table


def _padded(sentences: Sentences) -> np.ndarray:
    """Sentences x longest sentence; no distance between two sentences depends on what fills the rest."""
    padded = np.zeros((len(sentences), max(map(len, sentences), default=0)), dtype=np.int64)
    for row, sentence in zip(padded, sentences):
        row[: len(sentence)] = sentence
    return padded
