"""``losses.SUBSET.npz``: the loss of every token that a language model predicts, and of every block of them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fairseq_plugins.errors import UserError
from fairseq_plugins.lines import PathLike
from fairseq_plugins.runtime.durable import write_whole

from .units import Measure, Units, ratio


class TokenLosses(NamedTuple):
    """The predicted tokens of a subset, in the order of its blocks and in theirs; of a masked LM those under its masks.

    Attributes:
        symbol: the target's number in the dictionary (M,), int32.
        position: in its block, from 0 (M,), int32.
        loss: nats (M,), float32.
        block: number of its block, from 0 (M,), int32.
        blocks: how many there are, those without a predicted token included.
        mask_seed: of a masked LM's masks; -1 for a causal one.
    """

    symbol: np.ndarray
    position: np.ndarray
    loss: np.ndarray
    block: np.ndarray
    blocks: int
    mask_seed: int

    @property
    def mean(self) -> float:
        """Nats a token."""
        return float(self.loss.mean(dtype=np.float64))

    def write(self, path: PathLike) -> None:
        """Write them to a file."""
        content = io.BytesIO()
        np.savez_compressed(content, **self._asdict())
        write_whole(path, content.getvalue())


def losses_file(folder: PathLike, subset: str) -> Path:
    """Where a run has them."""
    return Path(folder) / f"losses.{subset}.npz"


def read_losses(folder: PathLike, subset: str = "test") -> TokenLosses:
    """What ``fairseq-plugins token-losses`` left in a run's folder.

    Raises:
        UserError: it is not there, or damaged.
    """
    path = losses_file(folder, subset)
    if not path.is_file():
        raise UserError(f"no file {path}: make it with fairseq-plugins token-losses {folder} --subset {subset}")
    try:
        with np.load(path, allow_pickle=False) as content:
            symbol, position, loss, block = (content[name] for name in TokenLosses._fields[:4])
            return TokenLosses(symbol, position, loss, block, int(content["blocks"]), int(content["mask_seed"]))
    except Exception as error:  # zipfile, zlib and numpy each have their own
        raise UserError(f"{path} is damaged ({error}); make it again with fairseq-plugins token-losses") from error


def check_same_tokens(losses: Mapping[str, TokenLosses]) -> None:
    """Look whether the losses of all runs (by folder) are those of the same tokens.

    Raises:
        UserError: they are not.
    """
    (first, expected), *others = losses.items()
    for folder, found in others:
        columns = ("symbol", "position", "block", "blocks")
        if not all(np.array_equal(getattr(found, name), getattr(expected, name)) for name in columns):
            raise UserError(
                f"{folder} and {first} were evaluated on other tokens; run fairseq-plugins token-losses on both again, "
                "with one --mask-seed and one --data"
            )


def _loss(sums: np.ndarray) -> np.ndarray:
    """Nats a token (...) of losses and tokens (..., 2)."""
    return ratio(sums[..., 0], sums[..., 1])


def _perplexity(sums: np.ndarray) -> np.ndarray:
    """``exp`` of it."""
    return np.exp(_loss(sums))


LOSS = Measure("loss", False, 3, "mean loss of a predicted token, in nats", _loss)
PERPLEXITY = Measure("perplexity", False, 2, "exp of the mean loss of a predicted token in nats", _perplexity)


def loss_units(losses: TokenLosses) -> dict[str, Units]:
    """Name -> loss and perplexity by blocks."""
    columns = (np.bincount(losses.block, values, losses.blocks) for values in (losses.loss, np.ones(len(losses.loss))))
    sums = np.stack(list(columns), axis=1)
    return {measure.name: Units(measure, sums) for measure in (LOSS, PERPLEXITY)}
