"""Small models and batches of every family, built through fairseq's own road: arch function, task, build_model."""

from argparse import Namespace

import torch
from choices import each_choice, with_r
from fairseq.data import Dictionary
from fairseq.models import ARCH_CONFIG_REGISTRY, build_model
from fairseq.tasks.language_modeling import LanguageModelingConfig, LanguageModelingTask
from fairseq.tasks.masked_lm import MaskedLMConfig, MaskedLMTask
from fairseq.tasks.translation import TranslationConfig, TranslationTask

from fairseq_plugins.models.grid import FAMILY_SITES, VARIANTS, architecture_name, variant_options

#: fewer than a test's keys
R = "2"
NAMED = {option for options in VARIANTS.values() for option in options.items()}
#: every variant of every family by its architecture, every choice that no variant names, and more combinations
CASES = {
    **{
        architecture_name(family, variant, "tiny"): {
            "arch": architecture_name(family, variant, "tiny"),
            **with_r(variant_options(family, variant), R),
        }
        for family in FAMILY_SITES
        for variant in VARIANTS
    },
    **{
        f"transformer_{name}": {"arch": "transformer_baseline_tiny", **options}
        for name, options in each_choice(R).items()
        if not options.items() & NAMED
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
    "transformer_top_r_by_layer": {
        "arch": "transformer_baseline_tiny",
        "attention_mixing": "top-r",
        "attention_r": "2,3",
    },
    "roberta_value_aware_poly": {
        "arch": "roberta_valueaware_tiny",
        "attention_kernel": "poly",
        "attention_r": "3:1:2:7",
    },
    "transformer_lm_top_r_shifted_relu": {
        "arch": "transformer_lm_pairwise_tiny",
        "attention_kernel": "relu",
        "attention_mixing": "top-r-shifted",
        "attention_r": "2",
    },
    "transformer_grouped": {
        "arch": "transformer_baseline_tiny",
        "attention_kv_heads": "encoder=2,decoder=1,cross=2",
    },
    "roberta_grouped_relu": {
        "arch": "roberta_nonlinearquery_tiny",
        "attention_kv_heads": "2",
        "attention_kernel": "relu",
    },
    "transformer_lm_multi_query": {"arch": "transformer_lm_sharedkv_tiny", "attention_kv_heads": "1"},
    "transformer_lm_elu1": {"arch": "transformer_lm_baseline_tiny", "attention_kernel": "elu1"},
    "transformer_lm_poly_neural": {
        "arch": "transformer_lm_neuralqkv_tiny",
        "attention_kernel": "poly",
        "neural_qkv_residual": True,
    },
}
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
    "transformer_lm": {
        "decoder_embed_dim": 24,
        "decoder_input_dim": 24,
        "decoder_output_dim": 24,
        "decoder_ffn_embed_dim": 20,
        "decoder_layers": 2,
        "decoder_attention_heads": 4,
        "dropout": 0.0,
        "max_target_positions": 32,
    },
}
VOCABULARY = 37


def family_of(case):
    """``roberta``, ``transformer`` or ``transformer_lm``."""
    return max((family for family in FAMILY_SITES if case.startswith(family)), key=len)


TRANSLATION_CASES = [name for name in CASES if family_of(name) == "transformer"]


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


def language_modeling_task(**settings):
    words = dictionary()
    return LanguageModelingTask(LanguageModelingConfig(data="", **settings), words, words, ["future"])


TASKS = {"transformer": translation_task, "roberta": masked_lm_task, "transformer_lm": language_modeling_task}


def build(case, task=None, **overrides):
    """A model of a case, or of an architecture, with the small sizes of its family."""
    family = family_of(case)
    args = Namespace(**{"arch": case, **SMALL[family], **CASES.get(case, {}), **overrides})
    args._name = args.arch
    ARCH_CONFIG_REGISTRY[args.arch](args)
    return build_model(args, task or TASKS[family]())


def save(path, case, task=None, dtype=torch.float32, heads=None, noise=0.2, **overrides):
    """A checkpoint of :func:`build`'s model with all parameters away from their initial values; returns the model.

    ``heads`` are classes by the names of classification heads.
    """
    family = family_of(case)
    model = build(case, task, **overrides)
    for name, classes in (heads or {}).items():
        model.register_classification_head(name, num_classes=classes)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += noise * torch.randn_like(parameter)
    chosen = {"arch": case, **SMALL[family], **CASES.get(case, {}), **overrides}
    config = Namespace(**chosen, _name=chosen["arch"])
    cfg = {"model": config, "task": {"_name": TASKS[family].__name__.replace("_task", "")}}
    state = {"model": model.to(dtype).state_dict(), "args": None, "cfg": cfg, "last_optimizer_state": {}}
    state["optimizer_history"] = [
        {"criterion_name": "", "optimizer_name": "", "lr_scheduler_state": {}, "num_updates": 0}
    ]
    state["extra_state"] = {"train_iterator": {"epoch": 1}, "metrics": {}}
    torch.save(state, path)
    return model.eval()


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
        given = (src, lengths, prev) if hasattr(model, "encoder") else (prev,)
        return model(*given)[0], prev != 1
    return model(src)[0], src != 1


def run_alone(model, row):
    """The logits of one sentence of :func:`batch` without any padding: time x vocabulary."""
    src, lengths, prev = batch()
    sentence, target = src[row][src[row] != 1][None], prev[row][prev[row] != 1][None]
    if not hasattr(model, "decoder"):
        return model(sentence)[0][0]
    given = (sentence, lengths[row : row + 1], target) if hasattr(model, "encoder") else (target,)
    return model(*given)[0][0]
