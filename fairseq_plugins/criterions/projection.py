"""Which models end in a plain vocabulary projection, so that a criterion may fuse the projection with its loss."""

from __future__ import annotations

from typing import Any

from fairseq.distributed import DistributedTimeoutWrapper, LegacyDistributedDataParallel, ModuleProxyWrapper
from fairseq.models import BaseFairseqModel, FairseqDecoder, FairseqLanguageModel
from fairseq.models.transformer import TransformerDecoderBase, TransformerModelBase
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

#: methods ``output_layer`` that are the projection, and perhaps the decoder's ``output_bias``; ours adds itself
PLAIN_OUTPUT_LAYERS = {TransformerDecoderBase.output_layer}
#: wrappers that leave a parameter used outside ``forward`` its gradient
TRANSPARENT = (
    ModuleProxyWrapper,
    DistributedTimeoutWrapper,
    DistributedDataParallel,
    LegacyDistributedDataParallel,
)


def plain_projection(model: Any) -> Tensor | None:
    """The weight W (V, C) of a model whose log-probabilities are ``log_softmax(features @ W.T)``, or None.

    The model's ``forward`` then takes ``features_only``. None for an adaptive softmax, a bias, quantisation noise and
    code that replaces any of fairseq's methods on the way from the features to the loss; and where gradients of the
    weight would not be reduced among processes if it were used outside ``forward``.
    """
    while isinstance(model, TRANSPARENT):
        # it would take a weight that ``forward`` does not use for one without a gradient
        if getattr(model, "find_unused_parameters", False):
            return None
        model = model.module
    decoder = getattr(model, "decoder", None)
    if not isinstance(decoder, TransformerDecoderBase) or decoder.adaptive_softmax is not None:
        return None
    if getattr(decoder, "output_bias", None) is not None or getattr(decoder, "onnx_trace", False):
        return None
    if not (
        _is_stock(model, "forward", TransformerModelBase, FairseqLanguageModel)
        and _is_stock(model, "get_targets", BaseFairseqModel)
        and _is_stock(model, "get_normalized_probs", BaseFairseqModel, TransformerModelBase)
        and _is_stock(model, "get_normalized_probs_scriptable", BaseFairseqModel)
        and _is_stock(decoder, "forward", TransformerDecoderBase)
        and _is_stock(decoder, "get_normalized_probs", FairseqDecoder)
        and _is_stock(decoder, "get_normalized_probs_scriptable", FairseqDecoder)
        and type(decoder).output_layer in PLAIN_OUTPUT_LAYERS
    ):
        return None
    projection = decoder.output_projection
    if type(projection) is not nn.Linear or projection.bias is not None:
        return None
    if projection._forward_pre_hooks or projection._forward_hooks:
        return None
    return projection.weight


def _is_stock(instance: Any, method: str, *classes: type) -> bool:
    return any(getattr(type(instance), method) is getattr(cls, method) for cls in classes)
