"""Folders of Hugging Face's ``transformers``: this package's own exports, and whatever model gives its weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from fairseq.data.encoders.gpt2_bpe_utils import bytes_to_unicode
from torch import Tensor

from fairseq_plugins.attention import StagedMultiheadAttention
from fairseq_plugins.errors import UserError
from fairseq_plugins.transfer.huggingface.folder import load_folder
from fairseq_plugins.transfer.huggingface.running import transformers_package

from .beams import Trace, beam_of
from .predictions import pseudo_losses, verdict
from .recording import Weights, first_row, recorded, seen
from .sentence import Example, Sentence
from .sides import BLANK, Side, from_bytes, marks_of, side


class TransformersModel:
    """A folder with a model and its tokenizer.

    Args:
        folder: with ``config.json``.
        device: to compute on.
        own_code: run the code that lies in the folder, where its configuration asks for it.

    Raises:
        UserError: transformers is missing or cannot load it, or it gives no weights of attention.
    """

    def __init__(self, folder: str, device: torch.device, own_code: bool = False) -> None:
        self.name, self.device = Path(folder).resolve().name, device
        model, self.tokenizer, self.kind = load_folder(folder, "eager", own_code)
        self.model = model.to(device)
        self.staged = any(isinstance(module, StagedMultiheadAttention) for module in self.model.modules())
        self.facts = {"class": type(self.model).__name__}
        vocabulary = self.tokenizer.get_vocab()
        self._bytes = _byte_table(vocabulary)
        self._mark = BLANK if self._bytes else marks_of(vocabulary)
        self._special = set(self.tokenizer.all_special_ids)

    def example(self, number: int, text: str, target: str | None = None) -> Example:
        source = self.tokenizer(text, return_tensors="pt")["input_ids"][0].long()
        goal = (
            None if target is None else self.tokenizer(text_target=target, return_tensors="pt")["input_ids"][0].long()
        )
        if goal is None and self.kind == "causal LM":
            first = self.tokenizer.bos_token_id
            if first is not None and (not len(source) or source[0] != first):
                source = torch.cat([source.new_tensor([first]), source])
        return Example(number, source, goal)

    @torch.no_grad()
    def look(self, example: Example, beam: int) -> Sentence:
        limit = getattr(self.model.config, "max_position_embeddings", None)
        if not len(example.source):
            return Sentence(example.number, note="the tokenizer makes no token of it")
        if limit is not None and len(example.source) > limit:
            return Sentence(
                example.number, note=f"{len(example.source):,} tokens are more than the model takes, {limit:,}"
            )
        looks: dict[str, Callable[[Example, int], Sentence]] = {
            "translation": self._translation,
            "causal LM": self._causal,
            "masked LM": self._masked,
        }
        return looks.get(self.kind, self._encoder)(example, beam)

    def pieces_of(self, ids: Any) -> tuple[str, ...]:
        if max(ids.tolist(), default=0) >= len(self.tokenizer):
            raise IndexError
        return self._side(ids).pieces

    # ------------------------------------------------------------------ the kinds

    def _translation(self, example: Example, beam: int) -> Sentence:
        source = example.source[None].to(self.device)
        target, trace = example.target, None
        if target is None:
            target, trace = self._search(source, beam)
        inputs = torch.cat([target.new_tensor([self._first()]), target[:-1]])
        sites, output = self._run(input_ids=source, decoder_input_ids=inputs[None].to(self.device))
        made = Sentence(
            example.number, self._side(example.source), self._side(inputs), self._side(target), target, first_row(sites)
        )
        made.losses = _losses(output.logits[0], target)
        if trace is not None:
            made.beam = beam_of(trace, lambda rows: self._of_rows(source, rows))
        return made

    def _search(self, source: Tensor, beam: int) -> tuple[Tensor, Trace]:
        trace = Trace(lambda ids: list(self._side(ids).pieces))
        transformers = transformers_package()

        def watch(ids: Tensor, scores: Tensor) -> Tensor:
            trace.step(ids[:, 1:].tolist(), scores.float().log_softmax(-1))
            return scores

        options = {"num_beams": beam, "num_return_sequences": beam, "do_sample": False}
        processors = transformers.LogitsProcessorList([watch])
        found = self.model.generate(
            input_ids=source,
            logits_processor=processors,
            return_dict_in_generate=True,
            output_scores=True,
            **options,
        )
        scores = found.sequences_scores.tolist() if beam > 1 else [0.0]
        rows = [self._ended(row[1:].tolist()) for row in found.sequences]
        trace.finished = list(zip(rows, scores))
        return torch.tensor(rows[0]), trace

    def _ended(self, ids: list[int]) -> list[int]:
        """Ids up to the end of the sentence."""
        eos = self.model.generation_config.eos_token_id
        ends = eos if isinstance(eos, (list, tuple)) else [eos]
        return ids[: next((at + 1 for at, token in enumerate(ids) if token in ends), len(ids))]

    def _of_rows(self, source: Tensor, rows: list[list[int]]) -> list[Any]:
        longest = max(map(len, rows)) + 1
        padding = self.model.config.pad_token_id or 0
        inputs = [[self._first(), *row, *[padding] * (longest - 1 - len(row))] for row in rows]
        ids = torch.tensor(inputs, device=self.device)
        sites, _ = self._run(input_ids=source.expand(len(rows), -1), decoder_input_ids=ids)
        return [layer.used for layer in sites["cross"]]

    def _first(self) -> int:
        first = self.model.generation_config.decoder_start_token_id
        return int(first if first is not None else self.model.config.decoder_start_token_id)

    def _causal(self, example: Example, _: int) -> Sentence:
        source = example.source
        sites, output = self._run(input_ids=source[None].to(self.device))
        # what comes after the last token is not known
        made = Sentence(example.number, None, self._side(source), self._side(source[1:]), source[1:], first_row(sites))
        made.losses = _losses(output.logits[0, :-1], source[1:])
        return made

    def _masked(self, example: Example, _: int) -> Sentence:
        tokens = example.source.to(self.device)
        sites, _output = self._run(input_ids=tokens[None])
        mask = self.tokenizer.mask_token_id
        places = [at for at, token in enumerate(tokens.tolist()) if token not in self._special and mask is not None]

        def logits_at(rows: Tensor, at: Tensor) -> Tensor:
            found: Tensor = self.model(input_ids=rows).logits[torch.arange(len(at)), at]
            return found

        losses = pseudo_losses(tokens, places, int(mask or 0), logits_at)
        return Sentence(example.number, self._side(example.source), sites=first_row(sites), losses=losses)

    def _encoder(self, example: Example, _: int) -> Sentence:
        sites, output = self._run(input_ids=example.source[None].to(self.device))
        made = Sentence(example.number, self._side(example.source), sites=first_row(sites))
        if self.kind == "classification":
            labels = self.model.config.id2label
            made.verdict = verdict(output.logits[0], lambda best: labels.get(best, str(best)))
        return made

    def _run(self, **inputs: Tensor) -> tuple[dict[str, list[Weights]], Any]:
        """Site -> weights of the whole batch, and the model's output."""
        cache = {} if self.kind in ("masked LM", "classification", "encoder") else {"use_cache": False}
        if self.staged:
            with recorded(self.model) as recorders:
                output = self.model(**inputs, **cache)
                return seen(recorders), output
        output = self.model(**inputs, **cache, output_attentions=True)
        if self.kind == "translation":
            parts = {"encoder": "encoder_attentions", "decoder": "decoder_attentions", "cross": "cross_attentions"}
        else:
            parts = {"decoder" if self.kind == "causal LM" else "encoder": "attentions"}
        found: dict[str, Any] = {site: getattr(output, name, None) for site, name in parts.items()}
        if not all(layers and all(layer is not None for layer in layers) for layers in found.values()):
            raise UserError(f"{self.name}: the model gives no weights of attention (output_attentions)")
        weights = {site: [Weights(layer.float().cpu().numpy()) for layer in layers] for site, layers in found.items()}
        return weights, output

    def _side(self, ids: Any) -> Side:
        numbers = ids.tolist() if isinstance(ids, Tensor) else list(ids)
        pieces: Sequence[str] = [str(piece) for piece in self.tokenizer.convert_ids_to_tokens(numbers)]
        if self._bytes:
            pieces = from_bytes(pieces, self._bytes)
        return side(pieces, [number in self._special for number in numbers], self._mark)


def _losses(logits: Tensor, target: Tensor) -> list[float]:
    found: list[float] = F.cross_entropy(logits.float().cpu(), target, reduction="none").tolist()
    return found


def _byte_table(vocabulary: dict[str, int]) -> dict[str, int]:
    """Letter -> byte of a byte-level BPE, by GPT-2's table; empty for other vocabularies."""
    table = {letter: byte for byte, letter in bytes_to_unicode().items()}
    return table if all(letter in vocabulary for letter in table) else {}
