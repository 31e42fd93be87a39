"""Checkpoints of this plugin and of stock fairseq: translation, masked and causal LM, sentence classification."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils
from fairseq.data import data_utils
from fairseq.models import FairseqEncoderDecoderModel, FairseqLanguageModel
from torch import Tensor

import fairseq_plugins.models  # noqa: F401  first: its repairs and registration
from fairseq_plugins.attention.stages import STAGES
from fairseq_plugins.checkpoints import Checkpoint, CheckpointError
from fairseq_plugins.checkpoints.options import set_option
from fairseq_plugins.checkpoints.overrides import own_architecture
from fairseq_plugins.errors import UserError
from fairseq_plugins.inference.records import find_record, settle_direction
from fairseq_plugins.text.byte_bpe import ByteBPE
from fairseq_plugins.text.record import ONLY_SOURCE, TextRecord
from fairseq_plugins.text.steps import ByteBpe

from .beams import Trace, beam_of
from .predictions import pseudo_losses, verdict
from .recording import first_row, recorded, seen
from .sentence import Example, Sentence
from .sides import BLANK, Side, from_bytes, marks_of, side


class FairseqModel:
    """A checkpoint with its dictionaries.

    Args:
        checkpoint: ours, or stock fairseq's, which becomes its baseline.
        data: the folder of ``fairseq-preprocess``; None: that of its text's record.
        text: the folder of the record of its text, where it is not found beside checkpoint or data.
        device: to compute on.

    Raises:
        UserError: the checkpoint cannot be read, does not fit the data, or is of another kind of model.
    """

    def __init__(self, checkpoint: str, data: str | None, text: str | None, device: torch.device) -> None:
        self.name = Path(checkpoint).parent.name or Path(checkpoint).name
        self.record = _record(checkpoint, data, text)
        if data is None:
            assert self.record is not None
            data = str(self.record.data)
        self.data, self.device = data, device
        model, cfg, self.task = _load(checkpoint, data, self.record)
        self.model: Any = model.to(device).eval()
        self.kind = _kind(checkpoint, model, str(getattr(cfg.task, "_name", "")))
        self.words, self.target_words = self.task.source_dictionary, self.task.target_dictionary
        if self.kind == "classification":
            self.target_words = self.words
        self.limits = self._limits()
        self.facts = {"architecture": str(cfg.model._name), "attention": _choices(cfg.model)}
        self._texts = [_reader(words, self._bytes()) for words in (self.words, self.target_words)]

    def example(self, number: int, text: str, target: str | None = None) -> Example:
        source, goal = (None if line is None else self._encoded(line, at) for at, line in enumerate((text, target)))
        return self._begun(number, source, goal)

    def examples(self, split: str, count: int | None, reference: bool) -> list[Example]:
        """The first lines of a split of the data; with ``reference`` their translations are what is predicted.

        Raises:
            UserError: there is no such split.
        """
        sides = [split]
        if self.kind == "translation":
            languages = (self.task.cfg.source_lang, self.task.cfg.target_lang)
            pairs = (languages, languages[::-1])
            stems = [f"{split}.{first}-{second}" for first, second in pairs]
            stem = next((one for one in stems if self._has(f"{one}.{languages[0]}")), stems[0])
            sides = [f"{stem}.{language}" for language in languages]
        elif self.kind == "classification":
            return self._classified(split, count)
        found = [self._lines(name, words) for name, words in zip(sides, (self.words, self.target_words))]
        lines = range(len(found[0]) if count is None else min(count, len(found[0])))
        return [self._begun(at + 1, found[0][at], found[1][at] if reference else None) for at in lines]

    @torch.no_grad()
    def look(self, example: Example, beam: int) -> Sentence:
        lengths = [len(ids) for ids in (example.source, example.target) if ids is not None]
        if any(length > limit for length, limit in zip(lengths, self.limits)):
            shown = " and ".join(f"{length:,}" for length in lengths)
            limit = " and ".join(f"{one:,}" for one in self.limits[: len(lengths)])
            return Sentence(example.number, note=f"{shown} tokens are more than the model takes, {limit}")
        looks: dict[str, Callable[[Example, int], Sentence]] = {
            "translation": self._translation,
            "causal LM": self._causal,
            "masked LM": self._masked,
            "classification": self._classification,
        }
        return looks[self.kind](example, beam)

    def pieces_of(self, ids: Any) -> tuple[str, ...]:
        if max(ids.tolist(), default=0) >= len(self.target_words):  # fairseq shows <unk> for those
            raise IndexError
        return self._side(ids, 1).pieces

    # ------------------------------------------------------------------ the kinds

    def _translation(self, example: Example, beam: int) -> Sentence:
        source = example.source[None].to(self.device)
        lengths = torch.tensor([source.size(1)], device=self.device)
        target, trace = example.target, None
        if target is None:
            target, trace = self._search(source, lengths, beam)
        eos = self.target_words.eos()
        inputs = torch.cat([target.new_tensor([eos]), target[:-1]])
        with recorded(self.model) as recorders:
            output = self.model(source, lengths, inputs[None].to(self.device))
            sites = first_row(seen(recorders))
            found = None if trace is None else beam_of(trace, lambda rows: self._of_rows(source, rows, recorders))
        made = Sentence(
            example.number, self._side(example.source), self._side(inputs, 1), self._side(target, 1), target, sites
        )
        made.losses, made.beam = _losses(self.model, output, target), found
        return made

    def _search(self, source: Tensor, lengths: Tensor, beam: int) -> tuple[Tensor, Trace]:
        """The best hypothesis, and how it was found."""
        from fairseq.dataclass.configs import GenerationConfig

        generator: Any = self.task.build_generator([self.model], GenerationConfig(beam=beam, nbest=beam))
        trace = Trace(lambda ids: list(self._side(ids, 1).pieces))
        ensemble = generator.model
        forward = ensemble.forward_decoder

        def watched(tokens: Tensor, *rest: Any, **more: Any) -> Any:
            made = forward(tokens, *rest, **more)
            trace.step(tokens[:, 1:].tolist(), made[0].float())
            return made

        ensemble.forward_decoder = watched
        sample = {"net_input": {"src_tokens": source, "src_lengths": lengths}}
        ranked = self.task.inference_step(generator, [self.model], sample)[0]
        ranked = sorted(ranked, key=lambda one: -float(one["score"]))
        trace.finished = [(one["tokens"].tolist(), float(one["score"])) for one in ranked]
        return ranked[0]["tokens"].cpu().long(), trace

    def _of_rows(self, source: Tensor, rows: list[list[int]], recorders: Any) -> list[Any]:
        """Cross-attention (B, H, T, S) of each layer for beginnings of hypotheses, without their first symbol."""
        words = self.target_words
        inputs = [torch.tensor([words.eos(), *row], device=self.device) for row in rows]
        padded = data_utils.collate_tokens(inputs, words.pad())
        lengths = torch.full((len(rows),), source.size(1), device=self.device)
        self.model(source.expand(len(rows), -1), lengths, padded)
        return [recorder.last.used for recorder in recorders["cross"]]

    def _causal(self, example: Example, _: int) -> Sentence:
        target = example.source
        first = self.words.bos() if getattr(self.task.args, "add_bos_token", False) else self.words.eos()
        inputs = torch.cat([target.new_tensor([first]), target[:-1]])
        with recorded(self.model) as recorders:
            output = self.model(inputs[None].to(self.device))
            sites = first_row(seen(recorders))
        made = Sentence(example.number, None, self._side(inputs), self._side(target), target, sites)
        made.losses = _losses(self.model, output, target)
        return made

    def _masked(self, example: Example, _: int) -> Sentence:
        tokens = example.source.to(self.device)
        with recorded(self.model) as recorders:
            self.model(tokens[None])
            sites = first_row(seen(recorders))
        places = [at for at, token in enumerate(tokens.tolist()) if token >= self.words.nspecial]
        mask = self.task.mask_idx

        def logits_at(rows: Tensor, at: Tensor) -> Tensor:
            hidden = torch.zeros_like(rows, dtype=torch.bool).scatter_(1, at[:, None], True)
            return self.model(rows, masked_tokens=hidden)[0].view(len(at), -1)  # type: ignore[no-any-return]

        losses = pseudo_losses(tokens, places, mask, logits_at)
        return Sentence(example.number, self._side(example.source), sites=sites, losses=losses)

    def _classification(self, example: Example, _: int) -> Sentence:
        heads = self.model.classification_heads
        if not heads:
            raise UserError(f"{self.name}: a classifier without a classification head; give a fine-tuned checkpoint")
        head = next(iter(heads))
        with recorded(self.model) as recorders:
            logits = self.model(example.source[None].to(self.device), features_only=True, classification_head_name=head)
            sites = first_row(seen(recorders))
        labels = self.task.label_dictionary

        def label_of(best: int) -> str:
            number = best + labels.nspecial
            return str(labels[number]) if number < len(labels) else str(best)

        said = verdict(logits[0].flatten(), label_of)
        return Sentence(example.number, self._side(example.source), sites=sites, verdict=said)

    # ------------------------------------------------------------------ text

    def _begun(self, number: int, source: Any, target: Any) -> Example:
        """Token ids as the model reads them; of RoBERTa with ``<s>``."""
        if self.kind in ("masked LM", "classification") and (not len(source) or source[0] != self.words.bos()):
            source = torch.cat([source.new_tensor([self.words.bos()]), source])
        if self.kind == "causal LM" and getattr(self.task.args, "add_bos_token", False):
            source = torch.cat([source.new_tensor([self.words.bos()]), source])
        return Example(number, source.long(), None if target is None else target.long())

    def _encoded(self, line: str, at: int) -> Tensor:
        """Ids of a raw line of the source (0) or target (1), ``</s>`` included; in pieces where no record is known."""
        if self.record is not None:
            languages = (self.record.source, self.record.target)
            if self.kind == "translation":
                languages = (self.task.cfg.source_lang, self.task.cfg.target_lang)
            line = self.record.encoder(languages[at])(line)
        words = (self.words, self.target_words)[at]
        ids: Tensor = words.encode_line(line, add_if_not_exist=False).long()
        return ids

    def _lines(self, name: str, words: Any) -> Any:
        found = data_utils.load_indexed_dataset(str(Path(self.data) / name), words)
        if found is None:
            raise UserError(f"{self.data}: no {name}.bin; give --split with the name of one that is there")
        return found

    def _has(self, name: str) -> bool:
        return (Path(self.data) / f"{name}.bin").is_file()

    def _classified(self, split: str, count: int | None) -> list[Example]:
        try:
            self.task.load_dataset(split)
        except FileNotFoundError as error:
            raise UserError(f"{self.data}: {error}; give --split with the name of one that is there") from None
        dataset = self.task.dataset(split)
        lines = range(len(dataset) if count is None else min(count, len(dataset)))
        return [self._begun(at + 1, dataset[at]["net_input.src_tokens"], None) for at in lines]

    def _side(self, ids: Any, at: int = 0) -> Side:
        return self._texts[at](ids.tolist() if isinstance(ids, Tensor) else ids)

    def _bytes(self) -> ByteBPE | None:
        """The byte-level BPE that the text went through, if it did."""
        if self.record is None:
            return None
        step = self.record.pieces(self.record.source)
        return step.load(self.record.folder) if isinstance(step, ByteBpe) else None

    def _limits(self) -> tuple[int, ...]:
        found = self.model.max_positions()
        return tuple(found) if isinstance(found, (tuple, list)) else (int(found),)


def _record(checkpoint: str, data: str | None, text: str | None) -> TextRecord | None:
    """The record of the text; None where none is found and the data were given."""
    if data is not None and text is None and (Path(data).parent / "text.json").is_file():
        text = str(Path(data).parent)
    try:
        return find_record(text, checkpoint, "--record")
    except UserError:
        if data is None or text is not None:
            raise
        return None


def _load(checkpoint: str, data: str, record: TextRecord | None) -> tuple[Any, Any, Any]:
    """Model, configuration, task; a stock model becomes the baseline of its family, which computes the same."""
    overrides: dict[str, Any] = {"data": data}
    try:
        state = checkpoint_utils.load_checkpoint_to_cpu(checkpoint, overrides)
        if not own_architecture(Checkpoint(checkpoint, state)):
            overrides["attention_mixing"] = "dense"
            state = checkpoint_utils.load_checkpoint_to_cpu(checkpoint, overrides)
        task_options = state["cfg"].task
        set_option(task_options, "data", data)  # where the configuration does not name it
        if record is not None and record.source != ONLY_SOURCE:
            settle_direction(task_options, record, checkpoint, "--record")
        (model,), cfg, task = checkpoint_utils.load_model_ensemble_and_task([checkpoint], overrides, state=state)
    except KeyError as error:
        raise CheckpointError(f"{checkpoint}: no fairseq checkpoint, or a damaged one (it has no {error})") from None
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(
            f"{checkpoint}: cannot be loaded for {data} ({reason}); give the data of its training"
        ) from None
    except Exception as error:
        if type(error) is not Exception:  # as fairseq's tasks raise what is wrong with their data
            raise
        raise UserError(f"{data}: {error}; give the data of the training") from None
    return model, cfg, task


def _kind(checkpoint: str, model: Any, task: str) -> str:
    if isinstance(model, FairseqEncoderDecoderModel) and task == "translation":
        return "translation"
    if isinstance(model, FairseqLanguageModel):
        return "causal LM"
    kinds = {"masked_lm": "masked LM", "sentence_prediction": "classification"}
    if task not in kinds:
        raise UserError(
            f"{checkpoint}: a model of fairseq's task {task or '(none)'}; attention is shown of translation, "
            "masked and causal language models, and sentence classifiers"
        )
    return kinds[task]


def _choices(options: Any) -> str:
    """The stages' choices in words; of stock fairseq, those that it is the same as."""
    names = [f"{stage.name} {getattr(options, f'attention_{stage.name}', None)}" for stage in STAGES]
    return ", ".join(name for name in names if not name.endswith(" None")) or "linear, dot, exp, dense"


def _losses(model: Any, output: Any, target: Tensor) -> list[float]:
    """Nats of each token of one row."""
    logs = model.get_normalized_probs(output, log_probs=True, sample={"target": target[None].to(output[0].device)})
    found: list[float] = (-logs[0].float().gather(-1, target.to(logs.device)[:, None])[:, 0]).tolist()
    return [loss if math.isfinite(loss) else math.inf for loss in found]


def _reader(words: Any, byte_bpe: ByteBPE | None) -> Callable[[Sequence[int]], Side]:
    """Ids -> how they are shown."""
    mark = BLANK if byte_bpe is not None else marks_of(words.symbols)

    def read(ids: Sequence[int]) -> Side:
        specials = [number < words.nspecial or words[number] == "<mask>" for number in ids]
        pieces = [words[number] for number in ids]
        if byte_bpe is not None:
            pieces = [piece if special else byte_bpe.symbol(piece) for piece, special in zip(pieces, specials)]
            pieces = from_bytes(pieces, byte_bpe.byte_of)
        return side(pieces, specials, mark)

    return read
