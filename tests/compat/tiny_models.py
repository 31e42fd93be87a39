"""Tasks and models of stock fairseq that take no time, for contracts; what they give in plain Python."""

from argparse import Namespace

import fairseq.models
import torch
from fairseq.data import Dictionary
from fairseq.dataclass.utils import convert_namespace_to_omegaconf  # noqa: F401  imports what builds configurations
from fairseq.models.transformer_lm import TransformerLanguageModelConfig
from fairseq.tasks.language_modeling import LanguageModelingConfig, LanguageModelingTask
from fairseq.tasks.masked_lm import MaskedLMConfig, MaskedLMTask
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from omegaconf import OmegaConf

SIDES = ("encoder", "decoder")
SIZES = {"embed_dim": 8, "ffn_embed_dim": 8, "attention_heads": 2, "layers": 1}
SMALL = {f"{side}_{name}": value for side in SIDES for name, value in SIZES.items()}


def dictionary(words=8):
    """The words w0, w1, ..., of which w0 is token 4."""
    made = Dictionary()
    for number in range(words):
        made.add_symbol(f"w{number}")
    return made


def translation_task():
    return TranslationTask(OmegaConf.structured(TranslationConfig), dictionary(), dictionary())


def language_modeling_task(**options):
    words = dictionary()
    return LanguageModelingTask(LanguageModelingConfig(data="", **options), words, words, ["future"])


def masked_lm_task():
    return MaskedLMTask(MaskedLMConfig(data="", tokens_per_sample=8), dictionary())


def arguments(arch="transformer_tiny", **changes):
    return Namespace(**{"arch": arch, "dropout": 0.0, "attention_dropout": 0.0, **SMALL, **changes})


def settings(**changes):
    """A language model's, as hydra gives them."""
    sizes = {name: value for name, value in SMALL.items() if name.startswith("decoder")}
    of_task = {"tokens_per_sample": 8, "max_target_positions": 8, "add_bos_token": False, "tpu": False}
    cfg = OmegaConf.structured(TransformerLanguageModelConfig(**sizes, **of_task, dropout=0.0))
    OmegaConf.set_struct(cfg, False)
    cfg.update({"_name": "transformer_lm", "decoder_input_dim": 8, "decoder_output_dim": 8, **changes})
    return cfg


def model(task=None, args=None, **changes):
    """In evaluation, with parameters from one seed."""
    torch.manual_seed(1)
    return fairseq.models.build_model(args or arguments(**changes), task or translation_task()).eval()


def sample(*sentences):
    """Sources, padded on the left."""
    longest = max(map(len, sentences))
    tokens = torch.tensor([[1] * (longest - len(sentence)) + sentence for sentence in sentences])
    lengths = torch.tensor([len(sentence) for sentence in sentences])
    return {"id": torch.arange(len(sentences)), "net_input": {"src_tokens": tokens, "src_lengths": lengths}}


def plain(value):
    if isinstance(value, torch.Tensor):
        return str(value.dtype), plain(value.tolist())
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [plain(part) for part in value]
    return round(value, 4) if isinstance(value, float) else value
