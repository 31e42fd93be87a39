"""The text of a prepared corpus as a tokenizer: raw lines in, plain lines out, as its ``text.json`` says.

What a line goes through (Moses, subword-nmt, SentencePiece ...) are the steps of :mod:`fairseq_plugins.text.record`;
ids are the rows of fairseq's dictionaries.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizer

from fairseq_plugins.text.record import ONLY_SOURCE, read_record

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
BOS, PAD, EOS, UNK = range(4)


class RecordTokenizer(PreTrainedTokenizer):
    """A tokenizer for translation models, and for language models of words.

    Args:
        record: ``text.json``; the files that it names lie in its folder.
        kwargs: as in every tokenizer.

    Raises:
        UserError: a file or a package that a step needs is missing.
    """

    vocab_files_names = {  # noqa: RUF012  as transformers declares it
        "record": "text.json",
        "source_dictionary": "source.dict.txt",
        "target_dictionary": "target.dict.txt",
        "source_codes": "source.codes",
        "target_codes": "target.codes",
    }
    model_input_names = ["input_ids", "attention_mask"]  # noqa: RUF012

    def __init__(self, record: str, **kwargs: Any) -> None:
        self.text = read_record(record)
        target = self.text.target
        self._encode = {side: self.text.encoder(side) for side in (self.text.source, target)}
        self._plain = self.text.decoder(target)
        self._rows = {
            side: {symbol: row for row, symbol in enumerate(_symbols(file.find(self.text.folder)))}
            for side, file in self.text.dictionaries.items()
        }
        self._written = list(self._rows[target])
        self._side = self.text.source
        for name in self.vocab_files_names:  # all are found by way of the record
            kwargs.pop(name, None)
        names = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
        super().__init__(**{**names, "split_special_tokens": True, **kwargs})

    @property
    def vocab_size(self) -> int:
        return len(self._rows[self._side])

    def get_vocab(self) -> dict[str, int]:
        return dict(self._rows[self._side])

    def _tokenize(self, text: str, **kwargs: Any) -> list[str]:
        return self._encode[self._side](text).split()

    def _convert_token_to_id(self, token: str) -> int:
        return self._rows[self._side].get(token, UNK)

    def _convert_id_to_token(self, index: int) -> str:
        return self._written[index]

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """A sentence ends with ``</s>``; what a language model goes on from begins with it."""
        ids = [*token_ids_0, *(token_ids_1 or [])]
        return [EOS, *ids] if self.text.source == ONLY_SOURCE else [*ids, EOS]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return self._plain(" ".join(tokens))

    def _decode(  # type: ignore[override]  # versions differ in what they pass besides
        self, token_ids: Any, skip_special_tokens: bool = False, **kwargs: Any
    ) -> str:
        """Plain text; ``<unk>`` stays, as in fairseq."""
        ids = [token_ids] if isinstance(token_ids, int) else [int(number) for number in token_ids]
        kept = [number for number in ids if not (skip_special_tokens and number in (BOS, PAD, EOS))]
        return self.convert_tokens_to_string([self._convert_id_to_token(number) for number in kept])

    def _switch_to_input_mode(self) -> None:
        self._side = self.text.source

    def _switch_to_target_mode(self) -> None:
        self._side = self.text.target

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """The record and its files."""
        self.text.copy(save_directory)
        names = ["text.json", *(file.name for file in self.text.files())]
        return tuple(str(Path(save_directory, name)) for name in names)


def _symbols(path: Path) -> list[str]:
    """Those of a ``dict.txt``, by their rows."""
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    return [*SPECIAL, *(line.removesuffix(" #fairseq:overwrite").rpartition(" ")[0] for line in lines)]
