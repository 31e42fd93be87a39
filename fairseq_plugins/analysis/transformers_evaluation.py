"""A folder of Hugging Face's transformers and raw text: output errors, and the loss of a language model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fairseq_plugins.attention import StagedMultiheadAttention
from fairseq_plugins.attention.mix.dense import DenseMixing
from fairseq_plugins.attention.normalise.exp import ExpKernel
from fairseq_plugins.errors import UserError
from fairseq_plugins.left_out import LeftOut
from fairseq_plugins.lines import PathLike, read_lines
from fairseq_plugins.transfer.huggingface.folder import AUTO_CLASSES, load_folder
from fairseq_plugins.transfer.huggingface.running import transformers_package

from .measure import Observer, Place, places

#: name of the attention that models are made to call
OBSERVED = "fairseq_plugins_observed"
#: what is analysed, of the kinds of folders
ANALYSED = {kind: AUTO_CLASSES[kind] for kind in ("masked LM", "causal LM", "encoder")}
#: the share of tokens that a masked language model predicts (Devlin et al. 2019), all of them by <mask>
MASKED = 0.15
IGNORED = -100


class Batch(NamedTuple):
    """Lines of equal width: ids, 1 where there is text, and what is predicted or -100; (B, T) each."""

    ids: Tensor
    mask: Tensor
    labels: Tensor


class Seat:
    """What stands for an attention module of another's model, and mixes."""

    def __init__(self) -> None:
        self.kernel, self.mixing = ExpKernel(None), DenseMixing(None)


class TransformersEvaluation:
    """A masked or causal language model, or an encoder without a head, on the lines of a file.

    Args:
        folder: with the model and its tokenizer.
        text: a file, a sentence a line; empty ones are passed over.
        max_tokens: of a batch.
        batches: only as many (all if None).
        device: to compute on.
        skip: leave out lines that are longer than the model takes; ``left_out`` counts them.
        own_code: run the code that lies in the folder, where its configuration asks for it.

    Raises:
        UserError: the model cannot be loaded or is of another kind, does not let its attention be replaced, a line is
            longer than it takes, or there is none.
    """

    def __init__(
        self,
        folder: str,
        text: PathLike,
        max_tokens: int,
        batches: int | None,
        device: torch.device,
        skip: bool = False,
        own_code: bool = False,
    ) -> None:
        transformers = transformers_package()
        from fairseq_plugins.huggingface.registered import attending, whole_mask

        self.split, self.device = str(text), device
        self.seats: dict[int, Seat] = {}
        transformers.AttentionInterface.register(OBSERVED, attending(self._seat))
        transformers.AttentionMaskInterface.register(OBSERVED, whole_mask)
        model, self.tokenizer, kind = load_folder(folder, OBSERVED, own_code, ANALYSED)
        self.model: Any = model.to(device)
        self.causal, self.predicts = kind == "causal LM", kind != "encoder"
        self.staged = any(isinstance(module, StagedMultiheadAttention) for module in self.model.modules())
        self.left_out = LeftOut(limit=getattr(model.config, "max_position_embeddings", None))
        self.batches = self._batches(text, max_tokens, batches)
        if self.left_out and not skip:
            raise UserError(
                f"{text}: {self.left_out.amount} are {self.left_out.reason}; "
                "leave them out with --skip-invalid-size-inputs-valid-test"
            )
        if not self.batches:
            raise UserError(f"{text}: there is no line to read")
        self._forward(self.batches[0])
        if not self.staged and not self.seats:
            raise UserError(
                f"{folder}: a {type(model).__name__} does not let its attention be replaced (attn_implementation)"
            )

    @property
    def tokens(self) -> int:
        """Of all batches, special symbols among them."""
        return sum(int(batch.mask.sum()) for batch in self.batches)

    @property
    def longest(self) -> int:
        """Positions of the longest line."""
        return max(batch.ids.size(1) for batch in self.batches)

    def places(self, sites: Sequence[str] | None) -> list[Place]:
        """Its attention, layer by layer.

        Raises:
            UserError: it has none at these sites.
        """
        if self.staged:
            return places(self.model, sites)
        site = "decoder" if self.causal else "encoder"
        if sites is not None and site not in sites:
            raise UserError(f"the model has no attention at {', '.join(sites)}; it has: {site}")
        seats = list(self.seats.values())
        return [Place(site, layer, len(seats), seat) for layer, seat in enumerate(seats)]

    @torch.no_grad()
    def loss(self, observers: Sequence[Observer] = (), found: Sequence[Place] = ()) -> float | None:
        """Mean loss in nats of what is predicted; None of an encoder without a head."""
        total, count = 0.0, 0
        for batch in self.batches:
            for observer in observers:
                observer.rows = batch.mask.bool().to(self.device)
            output = self._forward(batch)
            if self.predicts:
                labels = batch.labels.to(self.device)
                logits = output.logits[:, :-1] if self.causal else output.logits
                labels = labels[:, 1:] if self.causal else labels
                each = F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), reduction="sum")
                total, count = total + float(each), count + int(labels.ne(IGNORED).sum())
        return total / count if count else None

    def bleu(self, beam: int, remove_bpe: str | None, detok: str) -> float:
        """Not of these models.

        Raises:
            UserError: always.
        """
        raise UserError("--bleu is for translation models of fairseq")

    def _forward(self, batch: Batch) -> Any:
        options = {"use_cache": False} if self.causal else {}
        return self.model(input_ids=batch.ids.to(self.device), attention_mask=batch.mask.to(self.device), **options)

    def _seat(self, module: Any) -> tuple[Any, Any]:
        """The kernel and mixing of a module; modules are known in the order in which they are called."""
        seat = self.seats.setdefault(id(module), Seat())
        return seat.kernel, seat.mixing

    def _batches(self, text: PathLike, max_tokens: int, count: int | None) -> list[Batch]:
        ids = [torch.tensor(self.tokenizer(line)["input_ids"]).long() for line in read_lines(text) if line.strip()]
        limit = self.left_out.limit
        fitting = [line for line in ids if len(line) and (limit is None or len(line) <= limit)]
        longer = [line for line in ids if limit is not None and len(line) > limit]
        self.left_out.unit, self.left_out.total = "lines", len(fitting) + len(longer)
        self.left_out.missing, self.left_out.tokens = len(longer), sum(map(len, longer))
        made: list[Batch] = []
        for _, lines in groupby(_numbered(fitting, max_tokens), key=lambda one: one[0]):
            if count is not None and len(made) == count:
                break
            made.append(self._batch([line for _, line in lines], len(made)))
        return made

    def _batch(self, lines: list[Tensor], number: int) -> Batch:
        width = max(map(len, lines))
        pad = self.tokenizer.pad_token_id or 0
        ids = torch.stack([F.pad(line, (0, width - len(line)), value=pad) for line in lines])
        mask = torch.stack([F.pad(torch.ones_like(line), (0, width - len(line))) for line in lines])
        labels = ids.masked_fill(mask.eq(0), IGNORED)
        if self.predicts and not self.causal:
            special = torch.isin(ids, torch.tensor(self.tokenizer.all_special_ids))
            drawn = torch.rand(ids.shape, generator=torch.Generator().manual_seed(number)) < MASKED
            hidden = drawn & ~special & mask.bool()
            labels = ids.masked_fill(~hidden, IGNORED)
            ids = ids.masked_fill(hidden, self.tokenizer.mask_token_id)
        return Batch(ids, mask, labels)


def _numbered(lines: Sequence[Tensor], max_tokens: int) -> Iterator[tuple[int, Tensor]]:
    """Each line with the number of its batch; a batch is padded to its longest line."""
    number, width, held = 0, 0, 0
    for line in lines:
        width = max(width, len(line))
        if held and width * (held + 1) > max_tokens:
            number, width, held = number + 1, len(line), 0
        held += 1
        yield number, line
