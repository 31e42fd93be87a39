"""GPT-2's byte-level BPE between fairseq's files and Hugging Face's.

fairseq: ``encoder.json`` and ``vocab.bpe`` give a token a number, and ``dict.txt`` gives that number, as text, a row.
Hugging Face: ``vocab.json`` gives a token its row, ``merges.txt`` is ``vocab.bpe``. Rows 0 to 3 are ``<s>``, ``<pad>``,
``</s>``, ``<unk>`` in both; ``<mask>``, which fairseq's tasks add to the dictionary, is the last.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from fairseq_plugins.checkpoints import CheckpointError
from fairseq_plugins.dictionary import load_dictionary
from fairseq_plugins.lines import PathLike
from fairseq_plugins.text.byte_bpe import ENCODER, MERGES

from .files import INSTALL, read_json, write_json

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
MASK = "<mask>"
#: rows without a token, by which fairseq rounds the vocabulary up
PADDING = re.compile(r"madeupword\d+")


class Vocabulary(NamedTuple):
    """A BPE with rows: token -> row, and the merges, best first."""

    rows: dict[str, int]
    merges: list[tuple[str, str]]


def read_dictionary(path: PathLike, rows: int) -> list[str]:
    """The symbols of a ``dict.txt`` in the order of their rows, the special ones and ``<mask>`` included.

    Raises:
        CheckpointError: there are not as many as the model has rows.
        CorpusError: they cannot be read.
    """
    made = load_dictionary(path)
    made.add_symbol(MASK)
    if len(made) != rows:
        raise CheckpointError(
            f"{path}: {len(made)} symbols with <mask>, but the model has {rows} rows; give the dict.txt of its training"
        )
    return list(made.symbols)


@dataclass
class Tokenizing:
    """The tokenizer of an exported masked language model, and whose it is.

    Args:
        source: the checkpoint.
        dictionary: the ``dict.txt`` of its training (default: the one beside it).
        bpe_dir: the folder of ``encoder.json`` and ``vocab.bpe``; None for no tokenizer.
    """

    source: PathLike
    dictionary: PathLike | None = None
    bpe_dir: PathLike | None = None

    def write(self, folder: Path, rows: int, positions: int) -> list[str]:
        """Write it for a model of so many rows and positions; returns sentences about what was done.

        Raises:
            CheckpointError: the files do not belong together, are missing, or tokenizers is not installed.
        """
        found = Path(self.dictionary or Path(self.source).with_name("dict.txt"))
        if self.dictionary or (self.bpe_dir and found.is_file()):
            symbols = read_dictionary(found, rows)
            shutil.copyfile(found, folder / "dict.txt")
        elif self.bpe_dir:
            raise CheckpointError(f"no {found}: give the dictionary of the training with --dict")
        if self.bpe_dir is None:
            return ["wrote no tokenizer: give --bpe-dir for one"]
        write_tokenizer(folder, self.bpe_dir, symbols, positions)
        return ["wrote the tokenizer"]


def write_tokenizer(folder: Path, bpe_dir: PathLike, symbols: Sequence[str], positions: int) -> None:
    """Write the tokenizer's files, with which ``AutoTokenizer`` gives the rows that fairseq gives.

    Args:
        folder: where to.
        bpe_dir: the folder of ``encoder.json`` and ``vocab.bpe``.
        symbols: fairseq's dictionary (:func:`read_dictionary`).
        positions: the longest sentence that the model takes, special tokens included.

    Raises:
        CheckpointError: the files do not belong together, or tokenizers is not installed.
    """
    vocabulary = from_fairseq(Path(bpe_dir), symbols)
    _write_vocabulary(folder, vocabulary)
    names = {"bos": "<s>", "eos": "</s>", "unk": "<unk>", "sep": "</s>", "pad": "<pad>", "cls": "<s>"}
    special: dict[str, Any] = {f"{role}_token": token for role, token in names.items()}
    mask = {"content": MASK, "lstrip": True, "normalized": False, "rstrip": False, "single_word": False}
    write_json({**special, "mask_token": mask}, folder / "special_tokens_map.json")
    settings = {
        "tokenizer_class": "RobertaTokenizer",
        "add_prefix_space": False,
        "errors": "replace",
        "trim_offsets": True,
        "model_max_length": positions,
        **special,
        "mask_token": {"__type": "AddedToken", **mask},
    }
    write_json(settings, folder / "tokenizer_config.json")
    (folder / "tokenizer.json").write_text(_whole_tokenizer(vocabulary), encoding="utf-8")


def write_causal_tokenizer(folder: Path, bpe_dir: PathLike, symbols: Sequence[str], positions: int) -> None:
    """The same for a causal language model, whose texts begin with ``</s>`` and whose dictionary has no ``<mask>``.

    Raises:
        CheckpointError: the files do not belong together, or tokenizers is not installed.
    """
    vocabulary = from_fairseq(Path(bpe_dir), symbols)
    _write_vocabulary(folder, vocabulary)
    special = {"bos_token": "</s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": positions, **special}
    write_json({**settings, "clean_up_tokenization_spaces": False}, folder / "tokenizer_config.json")
    (folder / "tokenizer.json").write_text(_whole_tokenizer(vocabulary, causal=True), encoding="utf-8")


def _write_vocabulary(folder: Path, vocabulary: Vocabulary) -> None:
    write_json(vocabulary.rows, folder / "vocab.json")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in vocabulary.merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def from_fairseq(bpe_dir: Path, symbols: Sequence[str]) -> Vocabulary:
    """The rows of fairseq's tokens."""
    numbers = read_json(bpe_dir / ENCODER)
    merges = read_merges(bpe_dir / MERGES)
    tokens = {str(number): token for token, number in numbers.items()}
    unknown = [symbol for symbol in symbols if symbol.isdigit() and symbol not in tokens]
    rows = {tokens.get(symbol, symbol): row for row, symbol in enumerate(symbols)}
    if unknown or len(rows) != len(symbols):
        raise CheckpointError(f"the dictionary is not of the BPE in {bpe_dir}: {ENCODER} lacks {unknown[:1] or 'some'}")
    byte_symbols = [token for token in numbers if len(token) == 1]
    missing = [token for token in chain(byte_symbols, map("".join, merges)) if token not in rows]
    if missing:
        raise CheckpointError(
            f"{len(missing)} tokens of {bpe_dir}, such as {missing[0]!r}, have no row in the dictionary: fairseq takes "
            "them for <unk>, which a Hugging Face tokenizer cannot; leave the tokenizer out, or give the BPE with "
            "which the dictionary was made"
        )
    return Vocabulary(rows, merges)


def _whole_tokenizer(vocabulary: Vocabulary, causal: bool = False) -> str:
    try:
        from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    except ImportError:
        raise CheckpointError(f"the package tokenizers is missing; run: {INSTALL}") from None
    made = Tokenizer(models.BPE(vocab=vocabulary.rows, merges=vocabulary.merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(token, normalized=True) for token in SPECIAL])
    if causal:
        made.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 2)])
        return str(made.to_str(pretty=True))
    made.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    made.add_special_tokens([AddedToken(MASK, lstrip=True, normalized=False)])
    return made.to_str(pretty=True)


def read_vocabulary(folder: Path) -> Vocabulary | None:
    """The BPE of a folder, from ``vocab.json`` and ``merges.txt`` or from ``tokenizer.json``; None if it has neither.

    Raises:
        CheckpointError: the tokenizer is no byte-level BPE with RoBERTa's special tokens.
    """
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        found = Vocabulary(read_json(folder / "vocab.json"), read_merges(folder / "merges.txt"))
    elif (folder / "tokenizer.json").is_file():
        content = read_json(folder / "tokenizer.json")
        model = content.get("model", {})
        if model.get("type") != "BPE":
            raise CheckpointError(f"{folder / 'tokenizer.json'}: a {model.get('type')} tokenizer, no byte-level BPE")
        pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"])
        added = {token["content"]: token["id"] for token in content.get("added_tokens", [])}
        found = Vocabulary({**model["vocab"], **added}, [(first, second) for first, second in pairs])
    else:
        return None
    expected = {**{token: row for row, token in enumerate(SPECIAL)}, MASK: len(found.rows) - 1}
    wrong = [token for token, row in expected.items() if found.rows.get(token) != row]
    if wrong or sorted(found.rows.values()) != list(range(len(found.rows))):
        raise CheckpointError(
            f"{folder}: its tokenizer is not RoBERTa's: <s>, <pad>, </s>, <unk> must be 0 to 3 and <mask> the last"
        )
    return found


def to_fairseq(vocabulary: Vocabulary, symbols: Sequence[str] | None = None) -> dict[str, str]:
    """File name -> content of ``dict.txt``, ``encoder.json`` and ``vocab.bpe`` for a Hugging Face vocabulary.

    Args:
        vocabulary: the tokenizer's.
        symbols: the dictionary's symbols in the order of their rows where they are known (from the ``dict.txt`` that
            RoBERTa's own folders hold); by default a token's number is its row.
    """
    by_row = sorted(vocabulary.rows, key=lambda token: vocabulary.rows[token])[len(SPECIAL) : -1]
    if symbols is None:
        names = [token if PADDING.fullmatch(token) else str(vocabulary.rows[token]) for token in by_row]
    else:
        names = list(symbols[len(SPECIAL) : -1])
    numbers = {token: int(name) for token, name in zip(by_row, names) if name.isdigit()}
    merges = ["#version: 0.2", *(" ".join(pair) for pair in vocabulary.merges)]
    return {
        "dict.txt": dictionary_text(names),
        ENCODER: json.dumps(numbers),
        MERGES: "\n".join(merges) + "\n",
    }


def dictionary_text(names: Sequence[str]) -> str:
    """A ``dict.txt``; nothing knows how often the symbols occurred, and their order is what counts."""
    return "".join(f"{name} 1\n" for name in names)


def read_merges(path: Path) -> list[tuple[str, str]]:
    """The pairs of a ``vocab.bpe`` or ``merges.txt``, best first.

    Raises:
        CheckpointError: the file is missing or has another layout.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    pairs = []
    for number, line in enumerate(lines, 1):
        if number == 1 or not line:  # the first line is the version
            continue
        first, blank, second = line.partition(" ")
        if not blank or " " in second:
            raise CheckpointError(f"{path}:{number}: not two symbols")
        pairs.append((first, second))
    return pairs
