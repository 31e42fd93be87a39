"""From a fairseq checkpoint to a folder for ``ctranslate2.Translator``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional

import torch
from fairseq.models.transformer import TransformerModel
from torch import Tensor

from fairseq_plugins.attention import StagedMultiheadAttention
from fairseq_plugins.attention.config import DEFAULTS
from fairseq_plugins.attention.stages import KERNEL, MIXING
from fairseq_plugins.checkpoints import Checkpoint, CheckpointError, PathLike, Weights, building
from fairseq_plugins.checkpoints.probe import Expected, Steps, float_steps, probe_of
from fairseq_plugins.dictionary import load_dictionary
from fairseq_plugins.models.transformer import StagedTransformerModel
from fairseq_plugins.transfer.fold import fold_weights
from fairseq_plugins.transfer.huggingface.files import whole_folder
from fairseq_plugins.transfer.names import attention_names, networks
from fairseq_plugins.transfer.obstacles import rounded

from .scores import ctranslate2_scores, fairseq_scores
from .spec import ctranslate2_package, transformer_spec


def int8_steps(parameter: Tensor) -> Tensor:
    """A matrix is stored row by row, 127 steps to its largest number; vectors stay float32."""
    if parameter.dim() < 2:
        return float_steps(torch.float32)(parameter)
    return parameter.abs().amax(-1, keepdim=True) / 127


#: type of weights -> their steps
STEPS: Dict[str, Steps] = {
    "float32": float_steps(torch.float32),
    "int8": int8_steps,
    "float16": float_steps(torch.float16),
    "bfloat16": float_steps(torch.bfloat16),
}
QUANTIZATIONS = tuple(STEPS)
SCORES = "log-probabilities"
#: options of fairseq's Transformer that add or remove layers
UNKNOWN_OPTIONS = ("adaptive_softmax_cutoff", "base_layers", "cross_self_attention", "no_cross_attention")


def export_ctranslate2(
    source: PathLike,
    target: PathLike,
    dictionary: PathLike,
    target_dictionary: Optional[PathLike] = None,
    quantization: str = "float32",
) -> List[str]:
    """Write a translation model as one of CTranslate2 with the same logits.

    Args:
        source: a checkpoint of fairseq's ``transformer`` or of this plugin's, with linear projections, the exponential
            kernel and dense mixing; symmetric and pairwise attention is folded.
        target: the folder to write; it appears complete or not at all.
        dictionary: the source language's ``dict.txt``.
        target_dictionary: the target language's; by default the source's.
        quantization: of the weights: one of :data:`QUANTIZATIONS`.

    Returns:
        Sentences about what was done.

    Raises:
        CorpusError: a dictionary cannot be read.
        CheckpointError: a file cannot be read, CTranslate2 has no model with these outputs or computes others from what
            was written, or its package is missing.
    """
    ctranslate2_package()
    checkpoint = Checkpoint.read(source)
    checkpoint.refuse(rounded(checkpoint))
    model = building.load(checkpoint)
    _check_model(model, checkpoint, str(source))
    weights = model.state_dict()
    folded = fold_weights(weights)
    rows = {"encoder": dictionary, "decoder": target_dictionary or dictionary}
    sides = [_symbols(rows[side], weights[f"{side}.embed_tokens.weight"].size(0), side, source) for side in rows]
    with whole_folder(target) as folder:
        # the rounding of small weights would hide smaller faults: first without it
        for weights_type in dict.fromkeys(("float32", quantization)):
            _save(model, weights, sides, folder, weights_type, str(source))
            _check(building.load(checkpoint), folder, sides, weights_type, str(source))
        size = sum(path.stat().st_size for path in folder.iterdir())
    attention = len(attention_names(weights))
    return [f"folded {len(folded)} of {attention} attention modules", f"{quantization} weights, {size / 2**20:.1f} MiB"]


def _check(original: Any, folder: Path, sides: List[List[str]], quantization: str, source: str) -> None:
    """Check that CTranslate2 computes from a folder what fairseq computes from a model, whose weights are lost."""
    probe, result = probe_of(original), f"CTranslate2's model of {quantization} weights"
    expected = Expected.of(original, lambda model: {SCORES: fairseq_scores(model, probe, source)}, STEPS[quantization])
    expected.check({SCORES: ctranslate2_scores(folder, probe, sides, f"{source}: {result}")}, source, result)


def _save(model: Any, weights: Weights, sides: List[List[str]], folder: Path, quantization: str, source: str) -> None:
    """Write the folder's files; ``sides`` are the symbols of the source and of the target language."""
    try:
        spec = transformer_spec(model, weights)
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {error}") from None
    spec.register_source_vocabulary(sides[0])
    spec.register_target_vocabulary(sides[1])
    spec.config.add_source_eos = True
    spec.config.decoder_start_token = "<s>" if getattr(model.decoder, "starts_with_bos", False) else "</s>"
    spec.validate()
    spec.optimize(quantization=quantization)
    spec.save(str(folder))


def _check_model(model: Any, checkpoint: Checkpoint, source: str) -> None:
    """Check that nothing but the parameters and the options that CTranslate2 has makes the outputs."""
    arch = checkpoint.architecture
    if type(model) is not TransformerModel and not isinstance(model, StagedTransformerModel):
        raise CheckpointError(f"{source} is a {arch}: only models of the transformer family can be exported")
    task = checkpoint.task
    if task not in ("translation", ""):
        raise CheckpointError(f"{source} was trained for the task {task}: only translation can be exported")
    for name in UNKNOWN_OPTIONS:
        if getattr(model.decoder.cfg, name, None):
            raise CheckpointError(f"{source}: trained with --{name.replace('_', '-')}, which CTranslate2 does not have")
    for name, module in model.named_modules():
        if isinstance(module, StagedMultiheadAttention):
            _check_attention(name, module, source)


def _check_attention(name: str, attention: StagedMultiheadAttention, source: str) -> None:
    roles = networks(dict(attention.state_dict(prefix=f"{name}.")), name)
    if roles:
        raise CheckpointError(
            f"{source}: the {', '.join(roles)} projection{'s' if len(roles) > 1 else ''} of {name} are networks "
            "(--attention-projection neural), which CTranslate2 does not have"
        )
    for stage, choice in ((KERNEL, attention.kernel), (MIXING, attention.mixing)):
        found = next(known for known in stage.choices if stage[known] is type(choice))
        if found != DEFAULTS[stage.name]:
            raise CheckpointError(
                f"{source}: {name} has --attention-{stage.name} {found}, which CTranslate2 does not have"
            )


def _symbols(path: PathLike, rows: int, side: str, source: PathLike) -> List[str]:
    """A dictionary's symbols in the order of the embeddings' rows."""
    symbols = list(load_dictionary(path).symbols)
    if len(symbols) != rows:
        raise CheckpointError(
            f"{path} makes a vocabulary of {len(symbols)} symbols, but the {side} of {source} has {rows}: give the "
            "dictionaries of the training, the source language's with --dict and the other with --target-dict"
        )
    return symbols
