"""fairseq's models and the staged models of transformers with the same weights."""

import torch
from builders import build, family_of

from fairseq_plugins.transfer.huggingface.staged_config import to_options, to_weights

#: family -> the class of transformers, which is imported only where a test needs it
CLASSES = {
    "roberta": "StagedRobertaForMaskedLM",
    "transformer": "StagedForTranslation",
    "transformer_lm": "StagedForCausalLM",
}


def pair(case, **options):
    """A model of fairseq and the staged one, in float64 and evaluation; parameters are away from their start."""
    model = build(case, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    from fairseq_plugins import huggingface

    cls = getattr(huggingface, CLASSES[family_of(case)])
    staged = cls(cls.config_class(**to_options(model)))
    staged.load_state_dict(to_weights(model))
    return model.double().eval(), staged.double().eval()


def forward(staged, batch, **options):
    """The logits of :func:`builders.batch`."""
    src, _, prev = batch
    if type(staged).__name__ == CLASSES["transformer"]:
        return staged(src, decoder_input_ids=prev, **options).logits
    return staged(src if type(staged).__name__ == CLASSES["roberta"] else prev, **options).logits
