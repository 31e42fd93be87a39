"""Small models and batches, built through fairseq's own road: arch function, task, build_model."""

from argparse import Namespace

import torch
from fairseq.data import Dictionary
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY
from fairseq.tasks.translation import TranslationConfig, TranslationTask

from fairseq_plugins.models.grid import VARIANTS, architecture_name

TRANSLATION_VARIANTS = [architecture_name("transformer", variant, "tiny") for variant in VARIANTS]
SMALL = {
    "encoder_embed_dim": 24,
    "encoder_ffn_embed_dim": 20,
    "encoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_layers": 2,
    "decoder_attention_heads": 4,
    "dropout": 0.0,
}
VOCABULARY = 37


def dictionary(size=VOCABULARY):
    made = Dictionary()
    for i in range(size - len(made)):
        made.add_symbol(f"w{i}")
    return made


def translation_task(**settings):
    return TranslationTask(TranslationConfig(**settings), dictionary(), dictionary())


def build(arch, task=None, **overrides):
    """A model of an architecture with the small sizes."""
    args = Namespace(**{"arch": arch, "_name": arch, **SMALL, **overrides})
    ARCH_CONFIG_REGISTRY[arch](args)
    return ARCH_MODEL_REGISTRY[arch].build_model(args, task or translation_task())


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
