"""Folders of Marian models as transformers saves them."""

import json
import random

import torch
import transformers

ROWS = 59
PAD, EOS, UNK = 41, 3, 17  # anywhere, to tell them from opus-mt's and from fairseq's


def marian(folder, dtype=torch.float32, pieces=None, **given):
    """A model folder as transformers saves it; nothing is at its initial 0 or 1, the output bias included."""
    pieces = pieces or numbered_pieces()
    special = {"pad_token_id": pieces["<pad>"], "decoder_start_token_id": pieces["<pad>"]}
    special.update(eos_token_id=pieces["</s>"], forced_eos_token_id=pieces["</s>"])
    config = transformers.MarianConfig(**{
        **{"vocab_size": len(pieces), "d_model": 32, "encoder_layers": 2, "decoder_layers": 3},
        **{"encoder_ffn_dim": 20, "decoder_ffn_dim": 28, "encoder_attention_heads": 4, "decoder_attention_heads": 2},
        **{"activation_function": "swish", "scale_embedding": True, "max_position_embeddings": 40},
        **{**special, **given},
    })  # fmt: skip
    model = transformers.MarianMTModel(config).to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn_like(parameter)
        model.final_logits_bias += torch.randn_like(model.final_logits_bias)
    model.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(pieces))
    return model


def numbered_pieces():
    """Piece -> row, in a file's order that is not the rows'."""
    pieces = {f"w{row}": row for row in range(ROWS) if row not in (PAD, EOS, UNK)}
    pairs = [*pieces.items(), ("<pad>", PAD), ("</s>", EOS), ("<unk>", UNK)]
    random.Random(1).shuffle(pairs)
    return dict(pairs)
