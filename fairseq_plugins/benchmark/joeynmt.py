"""JoeyNMT with stock fairseq's weights: its Transformer, which computes the same, and its own beam search.

What it needs is not what the project needs, so it is installed aside and found by one system's ``PYTHONPATH``.
"""

from __future__ import annotations

from typing import Any

from fairseq.data import Dictionary
from torch import Tensor, nn

from .peers import PeerDecoding

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


class JoeyNMTDecoding(PeerDecoding):
    """JoeyNMT's model and beam search; see :class:`.peers.PeerDecoding`.

    Its search ends a hypothesis otherwise, and divides scores by ``((5 + length) / 6) ** alpha``.
    """

    def converted(self, original: Any) -> Any:
        return joeynmt_of(original, self.task.target_dictionary)

    def search(self, sources: Tensor, text: Tensor, longest: int) -> tuple[list[list[int]], list[float]]:
        from joeynmt.search import beam_search

        options, mask = self.cfg.generation, text[:, None, :]
        encoded, hidden, *_ = self.model("encode", src=sources, src_length=text.sum(-1), src_mask=mask)
        found, scores, _ = beam_search(
            self.model, options.beam, encoded, hidden, mask, longest, options.lenpen, return_prob="hyp"
        )
        return found.tolist(), scores[:, 0].tolist()


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
