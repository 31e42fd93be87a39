"""A trained model and its data: batches, loss and BLEU, by fairseq's own tasks, criterions and generator."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from fairseq import checkpoint_utils, utils
from fairseq.criterions.masked_lm import MaskedLmLoss
from fairseq.dataclass.configs import GenerationConfig

from fairseq_plugins.errors import UserError
from fairseq_plugins.left_out import LeftOut

from .measure import Observer, Place, places


class Evaluation:
    """A checkpoint on one split of its data.

    Args:
        checkpoint: ours, or stock fairseq's, which becomes its baseline.
        data: the folder of ``fairseq-preprocess``.
        split: such as ``valid``.
        max_tokens: of a batch.
        batches: only as many (all if None).
        tokens_per_sample: of a language model's blocks (default: those of its training).
        device: to compute on.
        skip: leave out what is longer than the model takes; ``left_out`` counts it.
        mixing: of the attention (None: as trained).
        seed: of the task, by which the masks of a masked LM are drawn (None: that of the training).

    Raises:
        UserError: something is longer than the model takes, or the split has no batch.
    """

    def __init__(
        self,
        checkpoint: str,
        data: str,
        split: str,
        max_tokens: int,
        batches: int | None,
        tokens_per_sample: int | None,
        device: torch.device,
        skip: bool = False,
        mixing: str | None = "dense",
        seed: int | None = None,
    ) -> None:
        changed = {"attention_mixing": mixing, "tokens_per_sample": tokens_per_sample, "seed": seed}
        overrides = {"data": data, **{name: value for name, value in changed.items() if value is not None}}
        (self.model,), cfg, self.task = checkpoint_utils.load_model_ensemble_and_task([checkpoint], overrides)
        self.model.to(device).eval()
        self.criterion = self.task.build_criterion(cfg.criterion).to(device).eval()
        self.split, self.max_tokens, self.device = split, max_tokens, device
        self.task.load_dataset(split)
        self.left_out = LeftOut(
            limit=utils.resolve_max_positions(self.task.max_positions(), self.model.max_positions())
        )
        self.samples = self._samples(batches)
        if self.left_out and not skip:
            raise UserError(
                f"{data}: {self.left_out.amount} of {split} are {self.left_out.reason}; give a smaller "
                "--tokens-per-sample (language models), or leave them out with --skip-invalid-size-inputs-valid-test"
            )
        if not self.samples:
            raise UserError(f"{data}: no batch in {split}: its sentences are {self.left_out.reason}")

    def _samples(self, batches: int | None) -> list[Any]:
        iterator = self.task.get_batch_iterator(
            self.task.dataset(self.split),
            max_tokens=self.max_tokens,
            max_positions=self.left_out.limit,
            ignore_invalid_inputs=True,
            seed=1,
        )
        self.left_out.add(iterator)
        found: list[Any] = []
        for sample in iterator.next_epoch_itr(shuffle=False):
            if batches is not None and len(found) == batches:
                break
            if sample:
                found.append(sample)
        return found

    def places(self, sites: Sequence[str] | None) -> list[Place]:
        """The model's attention modules; see :func:`.measure.places`."""
        return places(self.model, sites)

    @property
    def longest(self) -> int:
        """Positions of the longest source."""
        return max(sample["net_input"]["src_tokens"].size(1) for sample in self.samples)

    @property
    def tokens(self) -> int:
        """Target tokens of all batches."""
        return sum(int(sample["ntokens"]) for sample in self.samples)

    @torch.no_grad()
    def loss(self, observers: Sequence[Observer] = (), found: Sequence[Place] = ()) -> float:
        """Mean loss in nats a token (of the masked tokens, for a masked LM), without label smoothing.

        Args:
            observers: told before each batch which queries are text.
            found: their places.
        """
        total, count = 0.0, 0.0
        for sample in self._on_device():
            for observer, place in zip(observers, found):
                observer.rows = self._text(sample, place.site)
            _, sample_size, logged = self.criterion(self.model, sample)
            total += float(logged.get("nll_loss", logged["loss"]))
            count += float(sample_size if isinstance(self.criterion, MaskedLmLoss) else logged["ntokens"])
        return total / count

    def _on_device(self) -> Iterator[Any]:
        for sample in self.samples:
            yield utils.move_to_cuda(sample) if self.device.type == "cuda" else sample

    def _text(self, sample: Any, site: str) -> Any:
        given = sample["net_input"]
        if site != "encoder" and "prev_output_tokens" in given:
            return given["prev_output_tokens"].ne(self.task.target_dictionary.pad())
        return given["src_tokens"].ne(self.task.source_dictionary.pad())

    @torch.no_grad()
    def bleu(self, beam: int, remove_bpe: str | None, detok: str) -> float:
        """BLEU by sacreBLEU (13a, cased) of the model's translations, detokenised as fairseq's ``--eval-bleu`` does.

        Args:
            beam: its width.
            remove_bpe: fairseq's name of the subword marks to remove, such as ``subword_nmt``.
            detok: fairseq's name of a tokenizer, ``moses`` or ``space``.
        """
        import sacrebleu
        from fairseq.data import encoders

        words = self.task.target_dictionary
        tokenizer = encoders.build_tokenizer(
            Namespace(tokenizer=detok, source_lang=self.task.cfg.source_lang, target_lang=self.task.cfg.target_lang)
        )
        generator = self.task.build_generator([self.model], GenerationConfig(beam=beam))

        def text(tokens: Any, unknown: str) -> str:
            line = words.string(tokens.int().cpu(), remove_bpe, unk_string=unknown)
            return tokenizer.decode(line) if tokenizer is not None else line

        outs, refs = [], []
        for sample in self._on_device():
            for found, target in zip(self.task.inference_step(generator, [self.model], sample), sample["target"]):
                outs.append(text(found[0]["tokens"], "UNKNOWNTOKENINHYP"))
                refs.append(text(utils.strip_pad(target, words.pad()), "UNKNOWNTOKENINREF"))
        return sacrebleu.corpus_bleu(outs, [refs]).score


def perplexity(loss: float) -> float:
    """``exp`` of a loss in nats; infinite where that overflows."""
    return math.exp(loss) if loss < 700 else math.inf
