#!/usr/bin/env python3
"""A tiny random model in the layout of opus-mt or roberta-base: random_huggingface.py {marian,roberta} OUT

For the recipes' --smoke, whose sizes these are. Vocabulary and text model are learnt from the toy corpus. OUT appears
complete or not at all.
"""

import json
import sys
from pathlib import Path

try:
    import sentencepiece
    import transformers
except ImportError as error:
    sys.exit(f"random_huggingface.py: error: no package {error.name}; run: pip install 'fairseq_plugins[huggingface]'")

from fairseq_plugins.text import byte_bpe
from fairseq_plugins.text.toy import generate
from fairseq_plugins.transfer.huggingface.tokenizer import MASK, SPECIAL
from fairseq_plugins.transfer.whole_folder import whole_folder

SENTENCES, SIZE = 400, 300
WIDTH, HEADS = 32, 2


def toy_text(language: str) -> "list[str]":
    """The sentences of one side of the toy corpus."""
    return [getattr(pair, language) for pair in generate(1, {"train": SENTENCES})["train"]]


def marian(folder: Path) -> None:
    """One layer on either side, and a SentencePiece model for each language."""
    pieces = {"</s>": 0, "<unk>": 1}
    for name, language in (("source", "de"), ("target", "en")):
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(toy_text(language)),
            model_prefix=str(folder / name),
            vocab_size=SIZE,
            hard_vocab_limit=False,
            minloglevel=2,
        )
        (folder / f"{name}.vocab").unlink()
        (folder / f"{name}.model").rename(folder / f"{name}.spm")
        model = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{name}.spm"))
        for piece in map(model.id_to_piece, range(model.get_piece_size())):
            if not model.is_control(model.piece_to_id(piece)):
                pieces.setdefault(piece, len(pieces))
    pad = pieces["<pad>"] = len(pieces)
    (folder / "vocab.json").write_text(json.dumps(pieces), encoding="utf-8")
    config = transformers.MarianConfig(
        vocab_size=len(pieces),
        d_model=WIDTH,
        encoder_layers=1,
        encoder_ffn_dim=WIDTH,
        encoder_attention_heads=HEADS,
        decoder_layers=1,
        decoder_ffn_dim=WIDTH,
        decoder_attention_heads=HEADS,
        activation_function="swish",
        scale_embedding=True,
        max_position_embeddings=512,
        eos_token_id=0,
        forced_eos_token_id=0,
        pad_token_id=pad,
        decoder_start_token_id=pad,
    )
    transformers.MarianMTModel(config).save_pretrained(folder)


def roberta(folder: Path) -> None:
    """One layer, and a byte-level BPE."""
    vocabulary, merges = byte_bpe.learn(toy_text("en"), SIZE)
    rows = {token: row for row, token in enumerate((*SPECIAL, *vocabulary, MASK))}
    (folder / "vocab.json").write_text(json.dumps(rows), encoding="utf-8")
    (folder / "merges.txt").write_text(merges, encoding="utf-8")
    config = transformers.RobertaConfig(
        vocab_size=len(rows),
        hidden_size=WIDTH,
        num_hidden_layers=1,
        intermediate_size=WIDTH,
        num_attention_heads=HEADS,
        max_position_embeddings=50,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )
    transformers.RobertaForMaskedLM(config).save_pretrained(folder)


def main() -> None:
    kind, out = sys.argv[1:]
    transformers.utils.logging.disable_progress_bar()
    transformers.set_seed(1)
    with whole_folder(out) as folder:
        {"marian": marian, "roberta": roberta}[kind](folder)


if __name__ == "__main__":
    main()
