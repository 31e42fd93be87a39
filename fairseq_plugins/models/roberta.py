"""The ``roberta`` family: fairseq's masked language model and sentence classifier with staged attention."""

from __future__ import annotations

from typing import Any

from fairseq.models import FairseqEncoderModel
from fairseq.models.roberta import RobertaModel
from fairseq.models.roberta.model import RobertaEncoder, base_architecture
from fairseq.modules.transformer_sentence_encoder import init_bert_params
from torch import nn

from fairseq_plugins.attention import StagedMultiheadAttention
from fairseq_plugins.attention.project.neural import NeuralProjection

from .grid import as_namespace, give_back, register_family
from .options import add_model_args, layer_config
from .pruning import check_pruning, prune_as
from .transformer import TransformerEncoder


class StagedRobertaEncoder(RobertaEncoder):
    """fairseq's RoBERTa encoder and masked-LM head over staged attention."""

    def build_encoder(self, args: Any, dictionary: Any, embed_tokens: Any) -> TransformerEncoder:
        encoder = TransformerEncoder(layer_config(args, "roberta"), dictionary, embed_tokens)
        init_parameters(encoder)
        return encoder


class StagedRobertaModel(RobertaModel):
    """fairseq's RoBERTa with staged attention, every option by argparse or hydra.

    Args: see fairseq's ``RobertaModel`` and :func:`.options.add_model_args`.
    """

    def __init__(self, args: Any, encoder: StagedRobertaEncoder) -> None:
        # fairseq's own __init__ with another initialisation
        FairseqEncoderModel.__init__(self, encoder)
        self.args = args
        init_parameters(self)
        self.classification_heads = nn.ModuleDict()

    @classmethod
    def add_args(cls, parser: Any) -> None:
        super().add_args(parser)
        add_model_args(parser)

    @classmethod
    def build_model(cls, args: Any, task: Any) -> StagedRobertaModel:
        given, args = args, as_namespace(args)
        base_architecture(args)
        if getattr(args, "max_positions", None) is None:
            if getattr(args, "tokens_per_sample", None) is None:
                args.tokens_per_sample = task.max_positions()
            args.max_positions = args.tokens_per_sample
        model = cls(args, StagedRobertaEncoder(args, task.source_dictionary))
        check_pruning(args, model.encoder.sentence_encoder.layers)
        give_back(given, args)
        return model

    def _get_adaptive_head_loss(self) -> Any:
        """As fairseq's, over whatever parameters are a head's own."""
        layers = self.encoder.sentence_encoder.layers
        return float(self.args.mha_reg_scale_factor) * sum(layer.self_attn.head_sizes().sum() for layer in layers)

    def upgrade_state_dict_named(self, state_dict: Any, name: str) -> None:
        super().upgrade_state_dict_named(state_dict, name)
        layers = f"{name}.encoder.sentence_encoder.layers".lstrip(".")
        prune_as(self.args, self.encoder.sentence_encoder.layers, state_dict, layers)


def init_parameters(module: nn.Module) -> None:
    """BERT's N(0, 0.02^2) over the whole model, but ``--attention-init xavier`` is kept in attention.

    BERT's is the neural-QKV and the symmetric papers' too, so ``paper`` and ``normal`` mean the same here; by
    ``linear`` networks begin as linear maps that are drawn so. The compatibility's own parameters keep what its
    options say.
    """
    for name, child in module.named_children():
        if not _begin_as_linear(module, name, child):
            init_parameters(child)
    init_bert_params(module)
    if isinstance(module, StagedMultiheadAttention):
        if module.projection.init == "xavier":
            module.reset_parameters()
            return
        for name in ("q_proj", "k_proj", "v_proj"):
            # stock RoBERTa draws these twice: a seed then gives the same baseline as there
            projection = getattr(module, name)
            if not _begin_as_linear(module, name, projection) and isinstance(projection, nn.Linear):
                init_bert_params(projection)


def _begin_as_linear(attention: Any, name: str, projection: nn.Module | None) -> bool:
    """Let a network of attention begin as a linear map that is drawn as BERT's, if it is to; whether it was."""
    choice = getattr(attention, "projection", None)
    if not isinstance(choice, NeuralProjection) or not choice.begins_as_linear(projection):
        return False
    choice.begin(name.removesuffix("_proj"), projection, init_bert_params)
    return True


register_family("roberta", StagedRobertaModel)
