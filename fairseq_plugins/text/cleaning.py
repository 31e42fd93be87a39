"""Pairs of sentences: two sides held against each other, and pairs dropped by length, as Moses does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import zip_longest

from fairseq_plugins.lines import CorpusError, PathLike

from .reading import Sentence, stream_corpus


def aligned(
    source: Iterable[Sentence],
    target: Iterable[Sentence],
    source_path: PathLike,
    target_path: PathLike,
    empty: str = "none",
) -> Iterator[tuple[Sentence, Sentence]]:
    """The pairs of two sides that have equal counts (talk by talk) and no empty line, one at a time.

    ``empty`` says which empty lines are left to :func:`stream_clean`: ``none``, those empty on ``both`` sides, or
    ``any``.

    Raises:
        CorpusError: after the last pair if the counts differ; before that at an empty line, unless they differ.
    """
    counts: tuple[Counter[int], Counter[int]] = (Counter(), Counter())
    starts: tuple[dict[int, int], dict[int, int]] = ({}, {})
    unpaired: Sentence | None = None
    equal, problem = True, ""
    for left, right in zip_longest(source, target):
        for side, sentence in enumerate((left, right)):
            if sentence is not None:
                counts[side][sentence.talk] += 1
                starts[side].setdefault(sentence.talk, sentence.line)
        if left is None or right is None:
            unpaired, equal = unpaired or left or right, False
        elif left.talk != right.talk:
            equal = False
        elif equal and not problem:
            problem = _empty_message(left, right, source_path, target_path, empty)
            if not problem:
                yield left, right
    if not equal:
        raise CorpusError(_count_message(counts, starts, unpaired, source_path, target_path))
    if problem:
        raise CorpusError(problem)


def read_pairs(source: PathLike, target: PathLike) -> Iterator[tuple[str, str]]:
    """The pairs of two plain files, those with an empty side too.

    Raises:
        CorpusError: a line that cannot be used, or after the last pair if the counts differ.
    """
    sentences = stream_corpus(source, "plain"), stream_corpus(target, "plain")
    for left, right in aligned(*sentences, source, target, empty="any"):
        yield left.text, right.text


def _empty_message(left: Sentence, right: Sentence, source_path: PathLike, target_path: PathLike, empty: str) -> str:
    left_empty, right_empty = not left.text.strip(), not right.text.strip()
    if not (left_empty or right_empty) or empty == "any" or (left_empty and right_empty and empty == "both"):
        return ""
    path, line, other = (source_path, left.line, target_path) if left_empty else (target_path, right.line, source_path)
    return (
        f"{path}:{line}: the line is empty; fill it or remove it here and in {other} "
        "(--drop-empty does so in training text)"
    )


def _count_message(
    counts: tuple[Counter[int], Counter[int]],
    starts: tuple[dict[int, int], dict[int, int]],
    unpaired: Sentence | None,
    source_path: PathLike,
    target_path: PathLike,
) -> str:
    for talk in sorted(set(counts[0]) | set(counts[1])):
        if talk and counts[0][talk] != counts[1][talk]:
            first = starts[0].get(talk) or starts[1][talk]
            return (
                f"{source_path}:{first}: talk {talk} has {counts[0][talk]} sentences here and {counts[1][talk]} in "
                f"{target_path}; the sides must be aligned line by line, so fetch both files again"
            )
    lines = [sum(count.values()) for count in counts]
    short, long = (source_path, target_path) if lines[0] < lines[1] else (target_path, source_path)
    rest = unpaired.line if unpaired else 0
    return (
        f"{source_path} has {lines[0]} lines but {target_path} has {lines[1]}: {short} ends where {long}:{rest} "
        "goes on; the sides must be aligned line by line, so fetch both files again"
    )


@dataclass
class CleaningReport:
    """What :func:`stream_clean` kept, and what it dropped, why."""

    total: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Readable, stable ``name: count`` lines."""
        return [f"pairs: {self.total}", *(f"dropped, {k}: {v}" for k, v in self.dropped.items()), f"kept: {self.kept}"]


class HeldOut:
    """The pairs of a development or test set, and which of them turned up in the training text.

    Args:
        pairs: tokenised sentence pairs.
        drop_from: a training pair is to be dropped if one of its sides has at least so many tokens and is that side of
            a held-out pair; 0 = never. Short sentences are what everybody says.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]], drop_from: int = 0):
        self.pairs = list(pairs)
        self.drop_from = drop_from
        self.sources, self.targets = {source for source, _ in self.pairs}, {target for _, target in self.pairs}
        self.seen_sources: set[str] = set()
        self.seen_targets: set[str] = set()
        self.seen_pairs: set[tuple[str, str]] = set()

    def look_for(self, source: str, target: str) -> bool:
        """Note a training pair that stands here; whether it is to be dropped."""
        found = []
        if source in self.sources:
            self.seen_sources.add(source)
            found.append(source)
        if target in self.targets:
            self.seen_targets.add(target)
            found.append(target)
        if len(found) == 2:
            self.seen_pairs.add((source, target))
        return bool(self.drop_from) and any(len(side.split()) >= self.drop_from for side in found)

    def counts(self) -> dict[str, int]:
        """How many held-out pairs had their source, their target, or both as one pair in the training text."""
        return {
            "source": sum(source in self.seen_sources for source, _ in self.pairs),
            "target": sum(target in self.seen_targets for _, target in self.pairs),
            "pair": sum(pair in self.seen_pairs for pair in self.pairs),
        }


def stream_clean(
    pairs: Iterable[tuple[str, str]],
    report: CleaningReport,
    minimum: int = 1,
    maximum: int = 175,
    ratio: float = 1.5,
    drop_duplicates: bool = False,
    held_out: Sequence[HeldOut] = (),
) -> Iterator[tuple[str, str]]:
    """Drop pairs of tokenised sentences by length and length ratio, as Moses' ``clean-corpus-n`` does.

    Args:
        pairs: sentence pairs, tokens separated by blanks.
        report: is filled in on the way.
        minimum: fewest tokens of either side.
        maximum: most tokens of either side.
        ratio: a pair is dropped if one side has more than ``ratio`` times the tokens of the other.
        drop_duplicates: also drop a pair that came before, told by a 128-bit hash: about 150 bytes of memory a pair.
        held_out: sets to look for among all pairs; those that :meth:`HeldOut.look_for` says are dropped.
    """
    seen: set[bytes] = set()
    report.dropped = {"empty": 0, "too short": 0, "too long": 0, "ratio": 0, "duplicate": 0}
    if any(held.drop_from for held in held_out):
        report.dropped["in a held-out set"] = 0
    for source, target in pairs:
        report.total += 1
        leaked = [held.look_for(source, target) for held in held_out]
        sides = source.split(), target.split()
        shorter, longer = sorted(map(len, sides))
        pair = (" ".join(sides[0]), " ".join(sides[1]))
        if shorter == 0:
            reason = "empty"
        elif shorter < minimum:
            reason = "too short"
        elif longer > maximum:
            reason = "too long"
        elif longer > ratio * shorter:
            reason = "ratio"
        elif any(leaked):
            reason = "in a held-out set"
        elif drop_duplicates and _seen_before(pair, seen):
            reason = "duplicate"
        else:
            report.kept += 1
            yield pair
            continue
        report.dropped[reason] += 1


def _seen_before(pair: tuple[str, str], seen: set[bytes]) -> bool:
    key = blake2b("\n".join(pair).encode("utf-8"), digest_size=16).digest()
    known = len(seen)
    seen.add(key)
    return len(seen) == known
