"""Inputs that are longer than a model's learned positions."""

from __future__ import annotations

from typing import Any

import torch

from .registry import mark, marked, repair


@repair("none known")
def roberta_positions() -> bool:
    """RoBERTa called on more tokens than it has positions dies in its embedding, on a GPU with the whole process.

    fairseq's commands and the hub's ``extract_features`` check the length; ``fill_mask`` and programs that call the
    model do not. They get an error that says how many tokens there are and how many the model takes.
    """
    from fairseq.models.roberta import RobertaModel
    from fairseq.modules import LearnedPositionalEmbedding

    original = RobertaModel.forward
    if marked(original):
        return True

    def forward(self: Any, src_tokens: Any, *args: Any, **kwargs: Any) -> Any:
        embedding = getattr(getattr(self.encoder, "sentence_encoder", None), "embed_positions", None)
        if isinstance(embedding, LearnedPositionalEmbedding) and not torch.jit.is_tracing():
            positions = embedding.max_positions
            if src_tokens.size(-1) > positions and embedding.padding_idx is not None:  # padding needs no position
                longest = int(src_tokens.ne(embedding.padding_idx).sum(-1).max())
                if longest > positions:
                    raise ValueError(
                        f"a sentence of {longest} tokens is longer than the model's {positions} positions; shorten it "
                        "(--shorten-method truncate), leave it out (--skip-invalid-size-inputs-valid-test) or train "
                        "with a larger --max-positions"
                    )
        return original(self, src_tokens, *args, **kwargs)

    RobertaModel.forward = mark(forward, original)
    return True
