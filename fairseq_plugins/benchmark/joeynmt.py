"""JoeyNMT with stock fairseq's weights: its Transformer, which computes the same, and its own beam search.

What it needs is not what the project needs, so it is installed aside and found by one system's ``PYTHONPATH``.
"""

from __future__ import annotations

from typing import Any

import torch
from fairseq import checkpoint_utils, utils
from fairseq.data import Dictionary
from torch import nn

from .decoding import Decoding, Hypothesis
from .huggingface import on_the_right
from .worker import Memory

#: JoeyNMT's names -> fairseq's, in an encoder's and in a decoder's layer; ``layer_norm`` is the first of an encoder's
ATTENTION = {"k_layer": "k_proj", "v_layer": "v_proj", "q_layer": "q_proj", "output_layer": "out_proj"}
FEED_FORWARD = {
    "feed_forward.pwff_layer.0": "fc1",
    "feed_forward.pwff_layer.3": "fc2",
    "feed_forward.layer_norm": "final_layer_norm",
}
LAYERS = {
    "encoder": {
        **{f"src_src_att.{theirs}": f"self_attn.{ours}" for theirs, ours in ATTENTION.items()},
        "layer_norm": "self_attn_layer_norm",
        **FEED_FORWARD,
    },
    "decoder": {
        **{f"trg_trg_att.{theirs}": f"self_attn.{ours}" for theirs, ours in ATTENTION.items()},
        **{f"src_trg_att.{theirs}": f"encoder_attn.{ours}" for theirs, ours in ATTENTION.items()},
        "x_layer_norm": "self_attn_layer_norm",
        "dec_layer_norm": "encoder_attn_layer_norm",
        **FEED_FORWARD,
    },
}


class JoeyNMTDecoding(Decoding):
    """Stock fairseq's checkpoint in JoeyNMT, with the batches of fairseq.

    Its search ends a hypothesis otherwise, and divides scores by ``((5 + length) / 6) ** alpha``.

    Args:
        words: of ``fairseq-generate``.
        threads, device, memory: see :class:`.stepping.Stepping`.
    """

    def __init__(self, words: list[str], threads: int, device: str, memory: Memory) -> None:
        super().__init__(words, threads, device, memory)
        (original,), saved = checkpoint_utils.load_model_ensemble([self.cfg.common_eval.path], task=self.task)
        limits = utils.resolve_max_positions(self.task.max_positions(), original.max_positions())
        self.model = joeynmt_of(original, self.task.target_dictionary).to(device).eval()
        del original
        self.batches = self.load_batches(limits, saved.task)

    @torch.no_grad()
    def translate(self, batch: dict[str, Any]) -> list[Hypothesis]:
        from joeynmt.search import beam_search

        options, dictionary = self.cfg.generation, self.task.target_dictionary
        sources = batch["net_input"]["src_tokens"]
        longest = int(options.max_len_a * sources.size(1) + options.max_len_b)
        sources = on_the_right(sources, dictionary.pad())
        mask = sources.ne(dictionary.pad())[:, None, :]
        encoded, hidden, *_ = self.model("encode", src=sources, src_length=mask.sum(-1)[:, 0], src_mask=mask)
        found, scores, _ = beam_search(
            self.model, options.beam, encoded, hidden, mask, longest + 1, options.lenpen, return_prob="hyp"
        )
        eos, rows = dictionary.eos(), found.tolist()
        rows = [row[: row.index(eos)] if eos in row else row for row in rows]
        return [([dictionary.symbols[n] for n in row], score) for row, (score,) in zip(rows, scores.tolist())]


def joeynmt_of(model: Any, dictionary: Dictionary) -> nn.Module:
    """JoeyNMT's model with the weights and the positions of stock fairseq's with shared embeddings.

    A hypothesis begins with ``<s>`` there and with ``</s>`` here: the one has the other's embedding.
    """
    from joeynmt.model import build_model
    from joeynmt.vocabulary import Vocabulary

    cfg = model.cfg
    special = ("bos", "pad", "eos", "unk")
    vocabulary = Vocabulary.__new__(Vocabulary)
    # its constructor looks each word up in a list, and has other numbers for the special ones
    vocabulary._itos, vocabulary._stoi = dictionary.symbols, dictionary.indices
    vocabulary.specials, vocabulary.lang_tags, vocabulary.sep_index = dictionary.symbols[:4], [], None
    for number, kind in enumerate(special):
        setattr(vocabulary, f"{kind}_index", number)
    sides = {
        side: {
            "type": "transformer",
            "num_layers": of.layers,
            "num_heads": of.attention_heads,
            "hidden_size": of.embed_dim,
            "ff_size": of.ffn_embed_dim,
            "layer_norm": "post",
            "dropout": 0.0,
            "embeddings": {"embedding_dim": of.embed_dim, "scale": not cfg.no_scale_embedding},
        }
        for side, of in (("encoder", cfg.encoder), ("decoder", cfg.decoder))
    }
    made: Any = build_model({**sides, "tied_embeddings": True, "tied_softmax": True}, vocabulary, vocabulary)
    ours = model.state_dict()
    weights = {
        f"{side}.layers.{layer}.{theirs}.{kind}": ours[f"{side}.layers.{layer}.{name}.{kind}"]
        for side, names_of_layer in LAYERS.items()
        for layer in range(sides[side]["num_layers"])
        for theirs, name in names_of_layer.items()
        for kind in ("weight", "bias")
    }
    tokens = model.encoder.embed_tokens.weight.clone()
    tokens[dictionary.bos()] = tokens[dictionary.eos()]
    for name in ("src_embed.lut.weight", "trg_embed.lut.weight", "decoder.output_layer.weight"):
        weights[name] = tokens
    table = model.encoder.embed_positions
    length = made.encoder.pe.pe.size(1)
    for side in sides:
        weights[f"{side}.pe.pe"] = table.get_embedding(2 + length, cfg.encoder.embed_dim, table.padding_idx)[None, 2:]
    made.load_state_dict(weights)
    for module in made.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-5
    return made
