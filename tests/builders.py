"""Small models and batches of every family, built through fairseq's own road: arch function, task, build_model."""

from argparse import Namespace

import torch
from fairseq.data import Dictionary
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY
from fairseq.tasks.masked_lm import MaskedLMConfig, MaskedLMTask
from fairseq.tasks.translation import TranslationConfig, TranslationTask

from fairseq_plugins.models.grid import FAMILY_SITES, VARIANTS, architecture_name

#: every variant of every family by its architecture, and combinations that no preset names
CASES = {
    **{
        architecture_name(family, variant, "tiny"): {"arch": architecture_name(family, variant, "tiny")}
        for family in FAMILY_SITES
        for variant in VARIANTS
    },
    "transformer_symmetric_everywhere": {
        "arch": "transformer_symmetric_tiny",
        "attention_compatibility": "symmetric",
    },
    "transformer_pairwise_neural_everywhere": {
        "arch": "transformer_pairwise_tiny",
        "attention_compatibility": "pairwise",
        "attention_projection": "neural",
    },
    "roberta_pairwise_neural": {"arch": "roberta_pairwise_tiny", "attention_projection": "neural"},
}
TRANSLATION_CASES = [name for name in CASES if name.startswith("transformer")]
TRANSLATION_VARIANTS = [architecture_name("transformer", variant, "tiny") for variant in VARIANTS]
ROBERTA_VARIANTS = [architecture_name("roberta", variant, "tiny") for variant in VARIANTS]
SMALL = {
    "transformer": {
        "encoder_embed_dim": 24,
        "encoder_ffn_embed_dim": 20,
        "encoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_layers": 2,
        "decoder_attention_heads": 4,
        "dropout": 0.0,
    },
    "roberta": {
        "encoder_embed_dim": 24,
        "encoder_ffn_embed_dim": 20,
        "encoder_layers": 2,
        "encoder_attention_heads": 4,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "max_positions": 32,
    },
}
VOCABULARY = 37


def dictionary(size=VOCABULARY):
    made = Dictionary()
    for i in range(size - len(made)):
        made.add_symbol(f"w{i}")
    return made


def translation_task(**settings):
    return TranslationTask(TranslationConfig(**settings), dictionary(), dictionary())


def masked_lm_task(size=VOCABULARY):
    """Its dictionary has ``size`` words, <mask> included."""
    return MaskedLMTask(MaskedLMConfig(data="", tokens_per_sample=32), dictionary(size - 1))


def family_of(case):
    """``roberta`` or ``transformer``."""
    return next(family for family in FAMILY_SITES if case.startswith(family))


def build(case, task=None, **overrides):
    """A model of a case, or of an architecture, with the small sizes of its family."""
    family = family_of(case)
    args = Namespace(**{"arch": case, **SMALL[family], **CASES.get(case, {}), **overrides})
    args._name = args.arch
    ARCH_CONFIG_REGISTRY[args.arch](args)
    task = task or (masked_lm_task() if family == "roberta" else translation_task())
    return ARCH_MODEL_REGISTRY[args.arch].build_model(args, task)


def batch(lengths=(7, 5, 2), targets=(6, 3, 5), seed=0, left_pad_source=True):
    """src_tokens, src_lengths, prev_output_tokens of unequal lengths; sources padded left, targets right."""
    words, d = torch.Generator().manual_seed(seed), dictionary()

    def sentence(length):
        return torch.randint(d.nspecial, len(d), (length,), generator=words)

    src = torch.full((len(lengths), max(lengths)), d.pad())
    for row, n in enumerate(lengths):
        text = torch.cat([sentence(n - 1), torch.tensor([d.eos()])])
        src[row, slice(-n, None) if left_pad_source else slice(n)] = text
    prev = torch.full((len(targets), max(targets)), d.pad())
    for row, n in enumerate(targets):
        prev[row, :n] = torch.cat([torch.tensor([d.eos()]), sentence(n - 1)])
    return src, torch.tensor(lengths), prev


def run(model, left_pad_source=True):
    """The logits of :func:`batch` (batch x time x vocabulary), and which of their positions are text."""
    src, lengths, prev = batch(left_pad_source=left_pad_source)
    if hasattr(model, "decoder"):
        return model(src, lengths, prev)[0], prev != 1
    return model(src)[0], src != 1


def run_alone(model, row):
    """The logits of one sentence of :func:`batch` without any padding: time x vocabulary."""
    src, lengths, prev = batch()
    sentence = src[row][src[row] != 1][None]
    if hasattr(model, "decoder"):
        return model(sentence, lengths[row : row + 1], prev[row][prev[row] != 1][None])[0][0]
    return model(sentence)[0][0]
