"""Small modules of attention: every choice by itself, and some combinations."""

from argparse import Namespace

from choices import each_choice

from fairseq_plugins.attention import AttentionConfig

HEADS, WIDTH = 2, 10
#: every registered choice by itself, and what more options and combinations are worth
CHOICES = {
    "plain": {},
    **each_choice(r="3"),
    "roberta": {"attention_projection": "neural", "neural_qkv_shape": "roberta"},
    "all_roles": {
        "attention_projection": "neural",
        "neural_qkv_projections": "q,k,v,out",
        "neural_qkv_norm": "none",
        "neural_qkv_activation": "gelu",
        "neural_qkv_expansion": 1.5,
    },
    "pairwise_neural": {"attention_compatibility": "pairwise", "attention_projection": "neural"},
    "value_aware_by_head": {"attention_mixing": "value-aware-r", "attention_r": "2:6", "attention_kernel": "poly"},
    "grouped": {"attention_kv_heads": 1},
    "grouped_shared_values_elu1": {
        "attention_kv_heads": 1,
        "attention_projection": "shared-key-value",
        "attention_kernel": "elu1",
    },
    "grouped_top_r": {"attention_kv_heads": 1, "attention_mixing": "top-r", "attention_r": "2:3"},
    "elu1_pairwise": {"attention_kernel": "elu1", "attention_compatibility": "pairwise"},
}
#: what reaches torch's fused attention
FUSED = [name for name, options in CHOICES.items() if not {"attention_kernel", "attention_mixing"} & set(options)]


def attention(options, **kwargs):
    config = AttentionConfig.from_options(Namespace(**{"attention_init": "xavier", **options}))
    return config.build("encoder", WIDTH, HEADS, **kwargs)
