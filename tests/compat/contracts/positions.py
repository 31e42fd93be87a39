"""Inputs of RoBERTa."""

import torch
from answers import Purpose, Raises
from tiny_models import masked_lm_task, model, plain

TASK = masked_lm_task()
SHORT = torch.tensor([[0, 4, 5, 2], [0, 6, 2, 1]])
FITTING = torch.full((1, 6), 4)
LONG = torch.full((2, 7), 4)


def made(**changes):
    built = model(TASK, arch="roberta_base", max_positions=6, **changes)
    built.register_classification_head("mine", num_classes=3)
    return built


def output(*arguments, changes=None, **kwargs):
    return lambda _: plain(made(**(changes or {}))(*arguments, **kwargs))


def gradients(_):
    built = made().train()
    built(SHORT)[0].sum().backward()
    return plain(built.encoder.sentence_encoder.embed_positions.weight.grad)


def traced(_):
    built = made().requires_grad_(False)
    return plain(torch.jit.trace(lambda tokens: built(tokens)[0], SHORT)(SHORT))


CONTRACTS = {
    "roberta_positions": {
        "tokens": output(SHORT),
        "one sentence": output(SHORT[:1]),
        "no sentence": output(SHORT[:0]),
        "as many tokens as positions": output(FITTING),
        "padding beyond the positions": output(torch.cat([SHORT, torch.full((2, 8), 1)], 1)),
        "integers": output(SHORT.int()),
        "by position": output(SHORT, True, False, None),
        "by keywords": output(src_tokens=SHORT, features_only=True, return_all_hiddens=True),
        "a head": output(SHORT, classification_head_name="mine"),
        "no such head": output(SHORT, classification_head_name="nobodys"),
        "masked tokens": output(SHORT, masked_tokens=SHORT.eq(4)),
        "an unknown argument": output(SHORT, nobodys=1),
        "a list": output([[0, 4, 2]]),
        "one dimension": output(SHORT[0]),
        "None": output(None),
        "nothing": output(),
        "gradients": gradients,
        "traced": traced,
        "no positions": output(LONG, changes={"no_token_positional_embeddings": True}),
        "positions that are computed": output(LONG, changes={"encoder_learned_pos": False}),
        "too many tokens": Purpose(output(LONG), Raises("ValueError")),
    }
}
