"""What is measured: model sizes, and the systems that are compared at each."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Size(NamedTuple):
    """A model size with the batch that it is trained with.

    Attributes:
        family: of the grid.
        suffix: of fairseq's architecture, and of ours.
        vocabulary: entries of the dictionary.
        max_tokens: of one batch.
        length: tokens of a sentence on average, or of every sequence of a language model.
        options: of fairseq-train, for every system.
    """

    family: str
    suffix: str
    vocabulary: int
    max_tokens: int
    length: int
    options: tuple[str, ...] = ()


_TRANSLATION = ("--share-all-embeddings", "--dropout", "0.1", "--attention-dropout", "0.1")
_MASKED = ("--dropout", "0.1", "--attention-dropout", "0.1")
_SMALL = tuple(
    word
    for side in ("encoder", "decoder")
    for name, value in (("layers", 2), ("embed-dim", 128), ("ffn-embed-dim", 256), ("attention-heads", 4))
    for word in (f"--{side}-{name}", str(value))
)

SIZES: dict[str, Size] = {
    "tiny": Size("transformer", "iwslt_de_en", 1000, 1024, 16, (*_TRANSLATION, *_SMALL)),
    "iwslt": Size("transformer", "iwslt_de_en", 10000, 4096, 24, _TRANSLATION),
    "wmt-base": Size("transformer", "wmt_en_de", 37000, 4096, 28, _TRANSLATION),
    "wmt-big": Size("transformer", "vaswani_wmt_en_de_big", 37000, 4096, 28, _TRANSLATION),
    "roberta-base": Size("roberta", "base", 50265, 4096, 512, _MASKED),
}

STOCK = "stock"
#: systems of others, which compute what stock fairseq's model does with the same weights
CTRANSLATE2, HUGGINGFACE, JOEYNMT = "ctranslate2", "huggingface", "joeynmt"


def architecture(size: Size, system: str) -> str:
    """fairseq's architecture for ``stock`` and who takes its weights, and ours of a variant else."""
    stock = system in (STOCK, HUGGINGFACE)
    return "_".join(part for part in (size.family, "" if stock else system, size.suffix) if part)


def training_options(size: Size, system: str) -> list[str]:
    """The words of ``fairseq-train`` after the data."""
    words = ["--arch", architecture(size, system), *size.options, "--optimizer", "adam", "--adam-betas", "(0.9, 0.98)"]
    words += ["--lr", "0.0005", "--lr-scheduler", "inverse_sqrt", "--warmup-updates", "4000", "--clip-norm", "1.0"]
    words += ["--max-tokens", str(size.max_tokens), "--seed", "1", "--save-dir", "unused", "--no-save"]
    if size.family == "roberta":
        length = str(size.length)
        words += ["--task", "masked_lm", "--criterion", "masked_lm"]
        return [*words, "--tokens-per-sample", length, "--max-positions", length]
    return [*words, "--criterion", "label_smoothed_cross_entropy", "--label-smoothing", "0.1", "-s", "de", "-t", "en"]


def write_dictionaries(folder: str, vocabulary: int) -> None:
    """``dict.txt`` and those of two languages, with as many entries as a dictionary of ``vocabulary`` symbols has."""
    for name in ("dict.txt", "dict.de.txt", "dict.en.txt"):
        lines = "".join(f"symbol{number} 1\n" for number in range(vocabulary - 4))
        Path(folder, name).write_text(lines, encoding="utf-8")
