"""The loss of every token that a language model predicts, as fairseq's validation has it in sum."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from fairseq import utils
from fairseq.criterions.masked_lm import MaskedLmLoss
from fairseq.models import FairseqLanguageModel
from tqdm import tqdm

from fairseq_plugins.errors import UserError
from fairseq_plugins.lines import PathLike
from fairseq_plugins.report.losses_by_block import TokenLosses, losses_file
from fairseq_plugins.report.runs import read_json

from .evaluate import Evaluation

#: fairseq draws a masked LM's masks from its --seed; one for all runs masks the same tokens for all
MASK_SEED = 1


@torch.no_grad()
def token_losses(
    checkpoint: PathLike,
    data: PathLike,
    subset: str = "test",
    cpu: bool = False,
    max_tokens: int = 2048,
    mask_seed: int = MASK_SEED,
) -> TokenLosses:
    """Evaluate a masked or causal language model, ours or stock fairseq's, in the blocks of its training.

    Args:
        data: the folder of ``fairseq-preprocess``.
        subset: of it.
        cpu: compute on the CPU even if there is a GPU.
        max_tokens: of a batch.
        mask_seed: fairseq's ``--seed``, from which a masked LM's masks are drawn.

    Raises:
        UserError: it is no language model, or does not fit the data, or a block is longer than the model takes, or
            nothing is predicted.
    """
    device = torch.device("cuda" if torch.cuda.is_available() and not cpu else "cpu")
    try:
        evaluation = Evaluation(
            str(checkpoint), str(data), subset, max_tokens, None, None, device, skip=True, mixing=None, seed=mask_seed
        )
    except RuntimeError as error:  # sizes that differ, or a damaged file
        reason = str(error).splitlines()[-1].strip()
        raise UserError(
            f"{checkpoint}: cannot be loaded for {data} ({reason}); give --data what it was trained on"
        ) from error
    masked = isinstance(evaluation.criterion, MaskedLmLoss)
    if not masked and not isinstance(evaluation.model, FairseqLanguageModel):
        raise UserError(f"{checkpoint}: neither a masked nor a causal language model; give the run of one")
    if evaluation.left_out:
        # runs would be compared over different blocks
        raise UserError(
            f"{data}: {evaluation.left_out.amount} of {subset} are {evaluation.left_out.reason}; binarise shorter lines"
        )
    found: list[list[np.ndarray]] = []
    for sample in tqdm(evaluation.samples, desc=str(checkpoint), unit="batch", disable=not sys.stderr.isatty()):
        if device.type == "cuda":
            sample = utils.move_to_cuda(sample)
        predicted = sample["target"].ne(evaluation.task.target_dictionary.pad())
        if predicted.any():
            losses = (_of_masks if masked else _of_all)(evaluation.model, sample, predicted)
            row, position = predicted.nonzero(as_tuple=True)
            columns = (sample["target"][predicted], position, losses, sample["id"][row])
            found.append([column.cpu().numpy() for column in columns])
    if not found:
        raise UserError(f"{data}: no token of {subset} is masked; give another --mask-seed, or more text")
    symbol, position, loss, block = (np.concatenate(column) for column in zip(*found))
    order = np.lexsort((position, block))  # whatever the batches were
    return TokenLosses(
        symbol=symbol[order].astype(np.int32),
        position=position[order].astype(np.int32),
        loss=loss[order].astype(np.float32),
        block=block[order].astype(np.int32),
        blocks=len(evaluation.task.dataset(subset)),
        mask_seed=mask_seed if masked else -1,
    )


def _of_masks(model: Any, sample: Any, predicted: torch.Tensor) -> torch.Tensor:
    """Losses (M,) of the M masked tokens."""
    logits = model(**sample["net_input"], masked_tokens=predicted)[0]
    return F.cross_entropy(logits.view(-1, logits.size(-1)).float(), sample["target"][predicted], reduction="none")


def _of_all(model: Any, sample: Any, predicted: torch.Tensor) -> torch.Tensor:
    """Losses (M,) of the M tokens that are no padding.

    Those of an adaptive softmax, which needs the sample, are fairseq-eval-lm's: fairseq's criterion for it leaves the
    second symbol of each band out.
    """
    log_probabilities = model.get_normalized_probs(model(**sample["net_input"]), log_probs=True, sample=sample)
    return -log_probabilities.gather(-1, sample["target"].unsqueeze(-1)).squeeze(-1)[predicted]


def losses_of_run(
    folder: PathLike,
    subset: str = "test",
    data: PathLike | None = None,
    checkpoint: str = "checkpoint_best.pt",
    cpu: bool = False,
    max_tokens: int = 2048,
    mask_seed: int = MASK_SEED,
) -> TokenLosses:
    """:func:`token_losses` of a run of ``scripts/train.sh``; writes ``losses.SUBSET.npz`` into its folder.

    Args:
        data: if it is no longer where the run was trained on it.
        checkpoint: file in the folder.

    Raises:
        UserError: as :func:`token_losses`, or the folder is no run.
    """
    trained_on = read_json(Path(folder) / "run.json", "train with scripts/train.sh")["data"]
    found = token_losses(Path(folder) / checkpoint, data or trained_on, subset, cpu, max_tokens, mask_seed)
    found.write(losses_file(folder, subset))
    return found
