"""Texts as byte-level BPE, cut to length, in the files that fairseq's ``sentence_prediction`` task reads.

The layout is that of fairseq's ``examples/roberta/preprocess_GLUE_tasks.sh``: ``input0``, ``input1``, ``label``, each
with ``dict.txt`` and ``{train,valid}.{bin,idx}``; the scores of STS-B, divided by 5, in ``label/{train,valid}.label``.
``task.json`` beside them says what is in them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from fairseq.data import Dictionary, indexed_dataset

from fairseq_plugins.dictionary import load_dictionary
from fairseq_plugins.lines import CorpusError, PathLike
from fairseq_plugins.text.byte_bpe import encode_lines

from .readers import Example, find_file, read_examples
from .tasks import STS_B_RANGE, Task

Report = Callable[[str], None]
#: the BPE symbols of the one or two texts of an example
Tokens = tuple[list[str], ...]

#: ``<s> a </s>`` and ``<s> a </s> </s> b </s>``
SPECIAL_TOKENS = {1: 2, 2: 4}
#: texts from which on several processes are worth their start
PARALLEL_FROM = 10_000


def prepare_task(
    task: Task,
    source: PathLike,
    target: PathLike,
    bpe_dir: PathLike,
    dictionary: PathLike,
    max_length: int = 128,
    workers: int = 1,
    report: Report = lambda sentence: None,
) -> dict[str, Any]:
    """Read a task's folder and write its data folder; returns the content of its ``task.json``.

    Args:
        source: the folder with ``train.tsv`` and the development sets.
        target: the folder to make; it appears complete or not at all.
        bpe_dir: the folder with ``encoder.json`` and ``vocab.bpe``, in GPT-2's format.
        dictionary: fairseq's dictionary of the pretraining, whose symbols are the numbers of ``encoder.json``.
        max_length: tokens of an example with its special tokens, at most.
        workers: processes that encode; the result does not depend on it.
        report: called with one sentence for each set.

    Raises:
        CorpusError: a file is missing or cannot be read, the dictionary does not belong to the BPE, or ``target``
            exists.
    """
    folder = Path(target)
    if folder.exists():
        raise CorpusError(f"{folder}: exists already; remove it or choose another folder")
    if max_length < 8:
        raise CorpusError(f"a length of {max_length} tokens leaves no room for text; give at least 8")
    files = {name: find_file(source, stem) for name, stem in task.sets.items()}
    symbols = load_dictionary(dictionary)
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        sets = {}
        for name, path in files.items():
            examples, dropped = read_examples(task, path)
            if dropped:
                report(_dropped_sentence(path, dropped))
            encoded = encode(bpe_dir, examples, workers)
            counts = _write_set(task, part, name, examples, [truncate(texts, max_length) for texts in encoded], symbols)
            room = max_length - SPECIAL_TOKENS[len(task.texts)]
            counts["truncated"] = sum(sum(map(len, texts)) > room for texts in encoded)
            if 2 * counts["unknown"] > counts["tokens"]:
                raise CorpusError(
                    f"{dictionary}: more than half of the tokens of {path} are not in this dictionary; "
                    f"give the one that was made with the BPE in {bpe_dir}"
                )
            sets[name] = {"file": path.name, "dropped": dropped, **counts}
            report(_set_sentence(task.sets[name], max_length, counts))
        record = {"task": task.name, "classes": list(task.classes), "max_length": max_length, "sets": sets}
        (part / "task.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return record


def encode(bpe_dir: PathLike, examples: Sequence[Example], workers: int = 1) -> list[Tokens]:
    """The BPE symbols of every text."""
    texts = [text for example in examples for text in example.texts]
    lines = encode_lines(texts, bpe_dir, workers=workers if len(texts) > PARALLEL_FROM else 1)
    encoded = [line.split() for line in lines]
    each = len(examples[0].texts)
    return [tuple(encoded[start : start + each]) for start in range(0, len(encoded), each)]


def truncate(texts: Tokens, max_length: int) -> Tokens:
    """Drop last tokens of the longer text, then of both, until the example with its special tokens has ``max_length``.

    As Hugging Face's tokenisers do by ``longest_first``: of an odd number of places the longer text gets one more.
    """
    room = max_length - SPECIAL_TOKENS[len(texts)]
    if len(texts) == 1:
        return (texts[0][:room],)
    first, second = texts
    if len(first) > len(second):
        second = second[: room // 2]
        return first[: room - len(second)], second
    first = first[: room // 2]
    return first, second[: room - len(first)]


def _write_set(
    task: Task, folder: Path, name: str, examples: Sequence[Example], encoded: Sequence[Tokens], symbols: Dictionary
) -> dict[str, int]:
    """The inputs and labels of one set, as fairseq-preprocess writes them; returns what was counted."""
    unknown = 0
    for number in range(len(task.texts)):
        unknown += _write_tokens(folder / f"input{number}", name, (texts[number] for texts in encoded), symbols)
    if task.is_regression:
        (folder / "label").mkdir(parents=True, exist_ok=True)
        scores = "".join(f"{float(example.label) / STS_B_RANGE:g}\n" for example in examples)
        (folder / "label" / f"{name}.label").write_text(scores, encoding="utf-8")
    else:
        # fairseq-preprocess alone would number the classes by their frequency
        classes = Dictionary()
        for label in task.classes:
            classes.add_symbol(label)
        _write_tokens(folder / "label", name, ([example.label] for example in examples), classes)
    lengths = [sum(map(len, texts)) + SPECIAL_TOKENS[len(texts)] for texts in encoded]
    return {"rows": len(examples), "tokens": sum(lengths), "longest": max(lengths), "unknown": unknown}


def _write_tokens(folder: Path, name: str, texts: Iterable[list[str]], symbols: Dictionary) -> int:
    """Texts, each ended by ``</s>``, and their dictionary; returns how many tokens the dictionary lacks."""
    folder.mkdir(parents=True, exist_ok=True)
    builder = indexed_dataset.make_builder(str(folder / f"{name}.bin"), impl="mmap", vocab_size=len(symbols))
    unknown = 0
    for text in texts:
        indices = [symbols.index(token) for token in text]
        unknown += indices.count(symbols.unk())
        builder.add_item(torch.IntTensor([*indices, symbols.eos()]))
    builder.finalize(str(folder / f"{name}.idx"))
    symbols.save(str(folder / "dict.txt"))
    return unknown


def _dropped_sentence(path: Path, dropped: list[int]) -> str:
    lines = ", ".join(map(str, dropped[:10])) + (", ..." if len(dropped) > 10 else "")
    return f"{path}: {len(dropped)} rows without all of their fields left out (lines {lines})"


def _set_sentence(stem: str, max_length: int, counts: dict[str, int]) -> str:
    unknown = f", {counts['unknown']:,} unknown" if counts["unknown"] else ""
    return (
        f"{stem}: {counts['rows']:,} rows, {counts['tokens']:,} tokens{unknown}, "
        f"{counts['truncated']:,} rows cut to {max_length} tokens"
    )
