"""Byte-level BPE in GPT-2's own formats: learning one, and encoding text exactly as fairseq's ``--bpe gpt2`` does.

A folder of such a BPE holds ``encoder.json`` (symbol -> id) and ``vocab.bpe`` (the merges, best first). fairseq's
``--gpt2-encoder-json`` and ``--gpt2-vocab-bpe`` and Hugging Face's ``GPT2TokenizerFast`` read the same two files.

In tokenised corpora such as WikiText the word ``<unk>`` stands for a word that was taken out. Where ``unk`` is true it
is one token, the dictionary's ``<unk>``, which takes the blank before it along as every word of this BPE does (fairseq
treats ``<mask>`` so when it fills masks); else it is five characters like any others.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from multiprocessing import get_context
from pathlib import Path

from fairseq_plugins import lines
from fairseq_plugins.lines import CorpusError, PathLike
from fairseq_plugins.runtime.durable import write_whole

ENCODER, MERGES = "encoder.json", "vocab.bpe"
UNK = "<unk>"
#: every byte is a symbol of its own, so that no text is unknown
BYTES = 256
#: lines that a worker encodes at once
CHUNK = 2000


def read_lines(path: PathLike) -> Iterator[str]:
    """The lines of a UTF-8 file without the white space around them, as fairseq's RoBERTa encoder takes them."""
    return map(str.strip, lines.read_lines(path))


def pieces(line: str, unk: bool) -> list[str]:
    """The stretches of text between the ``<unk>`` of a line; the whole line where these are text."""
    return [piece.rstrip() for piece in line.split(UNK)] if unk else [line]


# ------------------------------------------------------------------ learning


def learn(lines: Iterable[str], size: int, unk: bool = False, min_frequency: int = 2) -> tuple[dict[str, int], str]:
    """Learn a BPE of ``size`` symbols (at least the 256 bytes) with Hugging Face's ``tokenizers``.

    Args:
        lines: the training text.
        size: symbols wanted. A short text may yield fewer.
        unk: see the module's docstring.
        min_frequency: a pair that occurs less often is not merged.

    Returns:
        The contents of ``encoder.json`` (symbol -> id) and of ``vocab.bpe``.
    """
    try:
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    except ImportError:
        raise CorpusError(
            "learning a byte-level BPE needs the package tokenizers; run: pip install tokenizers "
            "(or give scripts/prepare_wikitext.sh one that is there with --gpt2-bpe)"
        ) from None
    if size < BYTES:
        raise CorpusError(f"a byte-level BPE has a symbol for each of the {BYTES} bytes; ask for {BYTES} or more")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((piece for line in lines for piece in pieces(line, unk)), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = (merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"])
    return model["vocab"], "".join(f"{line}\n" for line in chain(["#version: 0.2"], merges))


def write_model(folder: PathLike, vocabulary: dict[str, int], merges: str) -> None:
    """Write ``encoder.json``, in ASCII as fairseq opens it in the locale's encoding, and ``vocab.bpe``."""
    by_id = dict(sorted(vocabulary.items(), key=lambda item: item[1]))
    Path(folder).mkdir(parents=True, exist_ok=True)
    write_whole(Path(folder) / ENCODER, json.dumps(by_id).encode("ascii"))
    write_whole(Path(folder) / MERGES, merges.encode("utf-8"))


# ------------------------------------------------------------------ encoding


class ByteBPE:
    """fairseq's ``GPT2BPE`` encoder behind a table of the words seen, which makes it some ten times as fast.

    Args:
        folder: where ``encoder.json`` and ``vocab.bpe`` lie.
        unk: see the module's docstring.

    Raises:
        CorpusError: the files are missing or do not belong together.
    """

    def __init__(self, folder: PathLike, unk: bool = False) -> None:
        try:
            from fairseq.data.encoders.gpt2_bpe_utils import get_encoder
        except ImportError:
            raise CorpusError("a byte-level BPE needs fairseq, which is not installed") from None

        files = [Path(folder) / name for name in (ENCODER, MERGES)]
        for file in files:
            if not file.is_file():
                raise CorpusError(f"{file}: no such file; give the folder that holds {ENCODER} and {MERGES}")
        try:
            self._bpe = get_encoder(*map(str, files))
            merged = (first + second for first, second in self._bpe.bpe_ranks)
            symbols = chain(self._bpe.byte_encoder.values(), merged)
            missing = next((symbol for symbol in symbols if symbol not in self._bpe.encoder), None)
        except (ValueError, AttributeError):
            raise CorpusError(f"{folder}: {ENCODER} or {MERGES} is not in GPT-2's format; fetch them again") from None
        if missing is not None:
            raise CorpusError(f"{files[0]} lacks {missing!r} of {files[1]}; take both files from the same place")
        self._unk = unk
        self._blank = self._bpe.byte_encoder[ord(" ")]
        self._words: dict[str, str] = {}

    @property
    def ids(self) -> list[int]:
        """All ids, ascending."""
        return sorted(self._bpe.encoder.values())

    def encode(self, line: str) -> str:
        """The ids of a line as text, separated by blanks; nothing for an empty line."""
        encoded: list[str] = []
        for index, piece in enumerate(pieces(line, self._unk)):
            if index > 0:
                encoded.append(UNK)
            encoded.extend(map(self._word, self._bpe.pat.findall(piece)))
        return " ".join(encoded)

    def decode(self, line: str) -> str:
        """The text of ids separated by blanks; what is no id, such as ``<unk>``, is a word of its own."""
        words = [int(word) if word.isdecimal() else f"{self._blank}{word}" for word in line.split()]
        text = str(self._bpe.decode(words))
        return text.removeprefix(" ") if words and isinstance(words[0], str) else text

    def symbol(self, number: str) -> str:
        """The symbol of an id; what is no id is one itself."""
        return str(self._bpe.decoder.get(int(number), number)) if number.isdecimal() else number

    @property
    def byte_of(self) -> dict[str, int]:
        """Letter of a symbol -> the byte that it stands for."""
        return dict(self._bpe.byte_decoder)

    def _word(self, word: str) -> str:
        known = self._words.get(word)
        if known is None:
            known = self._words[word] = " ".join(map(str, self._bpe.encode(word)))
        return known


def encode_lines(lines: Iterable[str], folder: PathLike, unk: bool = False, workers: int = 1) -> Iterator[str]:
    """Encode lines in their order with ``workers`` processes; what comes out does not depend on their number."""
    if workers == 1:
        yield from map(ByteBPE(folder, unk).encode, lines)
        return
    ByteBPE(folder)  # its message, once, before any process is started
    with get_context("fork").Pool(workers, _start_worker, (folder, unk)) as pool:
        for encoded in pool.imap(_encode_chunk, _chunks(lines)):
            yield from encoded


_worker: ByteBPE


def _start_worker(folder: PathLike, unk: bool) -> None:
    global _worker
    _worker = ByteBPE(folder, unk)


def _encode_chunk(lines: list[str]) -> list[str]:
    return list(map(_worker.encode, lines))


def _chunks(lines: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(lines)
    return iter(lambda: list(islice(rest, CHUNK)), [])


def dictionary(ids: Iterable[int], counts: Counter[str]) -> bytes:
    """fairseq's ``dict.txt`` of all ids, those that the training text lacks too, by falling count.

    With them a text that is encoded later, for fine-tuning say, has no unknown words.
    """
    try:
        from fairseq.data import Dictionary
    except ImportError:
        raise CorpusError("a dictionary needs fairseq, which is not installed") from None

    made = Dictionary()
    for symbol in map(str, ids):
        made.add_symbol(symbol, n=counts[symbol])
    made.finalize()
    symbols = zip(made.symbols[made.nspecial :], made.count[made.nspecial :])
    return "".join(f"{symbol} {count}\n" for symbol, count in symbols).encode("utf-8")
