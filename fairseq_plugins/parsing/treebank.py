"""Where the trees of the Penn Treebank lie, and how they are split."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fairseq_plugins.lines import CorpusError, PathLike

from .linearise import simplify
from .trees import Tree, read_trees

SPLITS = ("train", "valid", "test")

#: sections of the Wall Street Journal, as Vaswani et al. (2017, section 6.3) and all before them use them
SECTIONS: dict[str, Sequence[int]] = {"train": range(2, 22), "valid": (22,), "test": (23,)}

_BRACKETED = re.compile(r".*\.mrg(\.gz)?", re.IGNORECASE)
# wsj_0210.mrg is article 10 of section 02.
_ARTICLE = re.compile(r"wsj_(\d\d)\d\d\.mrg(\.gz)?", re.IGNORECASE)


class Treebank(NamedTuple):
    """Trees of :func:`.linearise.simplify` by split, and where they are from.

    Attributes:
        trees: split -> trees, in the order of the files.
        origin: split -> sections, or place in the sample.
    """

    trees: dict[str, list[Tree]]
    origin: dict[str, str]


def read_treebank(path: PathLike, valid: int = 400, test: int = 400) -> Treebank:
    """Read and split a treebank.

    A folder with articles ``wsj_0200.mrg`` and later, at any depth, is split by section. Anything else, a bracketed
    file or a folder of them, is a sample: its last ``test`` trees in the order of the file names are ``test``, the
    ``valid`` ones before them ``valid``, the rest ``train``.

    Raises:
        CorpusError: a file or a section is missing, brackets are wrong, or the sample is too small; the message says
            which.
    """
    path = Path(path)
    if path.is_file():
        return _sample([path], path, valid, test)
    if not path.is_dir():
        raise CorpusError(f"{path}: no such file or folder; give a bracketed file (.mrg), or a folder of them")
    files = sorted(file for file in path.rglob("*") if _BRACKETED.fullmatch(file.name))
    if not files:
        raise CorpusError(f"{path}: no bracketed files (.mrg, .mrg.gz) in this folder; give the one that holds them")
    articles: dict[int, list[Path]] = {}
    for file in files:
        found = _ARTICLE.fullmatch(file.name)
        if found:
            articles.setdefault(int(found[1]), []).append(file)
    if not any(section >= 2 for section in articles):
        return _sample(files, path, valid, test)
    return _sections(articles, path)


def _sections(articles: dict[int, list[Path]], path: Path) -> Treebank:
    missing = [f"{section:02}" for sections in SECTIONS.values() for section in sections if section not in articles]
    if missing:
        raise CorpusError(
            f"{path}: no wsj_{missing[0]}00.mrg or other article of section {', '.join(missing)}; sections 02 to 23 "
            "are needed: get the whole treebank, or give a folder of its sections 00 and 01 or a file, which are split"
        )
    trees = {}
    for split, sections in SECTIONS.items():
        names: dict[str, Path] = {}
        for file in (file for section in sections for file in articles[section]):
            other = names.setdefault(file.name.lower().removesuffix(".gz"), file)
            if other != file:
                raise CorpusError(f"{file}: {other} is the same article; give a folder that holds each once")
        trees[split] = _read(list(names.values()))
    origin = {"train": "sections 02-21", "valid": "section 22", "test": "section 23"}
    return Treebank(trees, origin)


def _sample(files: Sequence[Path], path: Path, valid: int, test: int) -> Treebank:
    trees = _read(files)
    train = len(trees) - valid - test
    if train < 1:
        raise CorpusError(
            f"{path}: {len(trees)} trees are too few for {valid} to validate and {test} to test with; give smaller "
            "--valid and --test"
        )
    bounds = {"train": (0, train), "valid": (train, train + valid), "test": (train + valid, len(trees))}
    return Treebank(
        {split: trees[start:end] for split, (start, end) in bounds.items()},
        {split: f"trees {start + 1}-{end}" for split, (start, end) in bounds.items()},
    )


def _read(files: Sequence[Path]) -> list[Tree]:
    """All trees that have words, traces aside."""
    return [tree for file in files for tree in map(simplify, read_trees(file)) if tree is not None]
