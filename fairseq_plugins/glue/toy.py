"""Two tasks of made-up text in GLUE's own layout, with a BPE: enough to run everything, nothing to measure by."""

from __future__ import annotations

import json
import random
from pathlib import Path

from fairseq.data.encoders.gpt2_bpe_utils import bytes_to_unicode

from fairseq_plugins.lines import PathLike
from fairseq_plugins.runtime.durable import write_whole

ROWS = {"train": 30, "dev": 12}
_NOUNS = ("dog", "child", "bird", "teacher", "farmer", "cat")
_VERBS = ("sees", "follows", "hears", "likes")


def write_toy(folder: PathLike, seed: int = 1) -> None:
    """Write ``glue/CoLA`` (is the order of words right?), ``glue/STS-B`` (how many words do two sentences share?) and
    ``bpe`` (a symbol a byte, no merges, with its ``dict.txt``) into a folder."""
    words = random.Random(seed)
    for split, rows in ROWS.items():
        sentences = [_sentence(words) for _ in range(rows)]
        _write_lines(Path(folder) / "glue" / "CoLA" / f"{split}.tsv", [_acceptability(words, s) for s in sentences])
        header = "index genre filename year old_index source1 source2 sentence1 sentence2 score"
        pairs = [_similarity(words, number, sentence) for number, sentence in enumerate(sentences)]
        _write_lines(Path(folder) / "glue" / "STS-B" / f"{split}.tsv", ["\t".join(header.split()), *pairs])
    symbols = {symbol: number for number, symbol in enumerate(bytes_to_unicode().values())}
    bpe = Path(folder) / "bpe"
    _write_lines(bpe / "encoder.json", [json.dumps(symbols)])
    _write_lines(bpe / "vocab.bpe", ["#version: 0.2"])
    _write_lines(bpe / "dict.txt", [f"{number} 1" for number in symbols.values()])


def _sentence(words: random.Random) -> list[str]:
    return ["The", words.choice(_NOUNS), words.choice(_VERBS), "the", words.choice(_NOUNS)]


def _acceptability(words: random.Random, sentence: list[str]) -> str:
    acceptable = words.random() < 0.5
    order = sentence if acceptable else sentence[::-1]
    return "\t".join(("toy", str(int(acceptable)), "" if acceptable else "*", " ".join(order) + "."))


def _similarity(words: random.Random, number: int, sentence: list[str]) -> str:
    other = [new if words.random() < 0.5 else old for old, new in zip(sentence, _sentence(words))]
    score = sum(old == new for old, new in zip(sentence, other))
    fields = [str(number), "toy", "none", "none", "none", "none", "none"]
    return "\t".join([*fields, " ".join(sentence) + ".", " ".join(other) + ".", f"{score:.3f}"])


def _write_lines(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, "".join(f"{line}\n" for line in lines).encode("utf-8"))
