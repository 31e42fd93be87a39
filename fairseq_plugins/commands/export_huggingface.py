"""Write a checkpoint as a folder that Hugging Face's transformers loads.

Stock models and ours become what transformers has for them: RoBERTa, FSMT for translation, XGLM for causal language
models. Shared and missing projections are folded into plain attention with identical outputs, as by fold-checkpoint.
What these classes do not know (networks, other kernels and mixings, options such as --encoder-normalize-before) becomes
a staged model, whose code stands in the folder: it loads by trust_remote_code=True without this package, and without
that wherever fairseq_plugins.huggingface is imported. The reasons are told.

A checkpoint with a classification head becomes a classifier, any other RoBERTa a masked language model. With the BPE's
folder RoBERTa's tokenizer is written too: its ids are the rows of fairseq's dictionary. The others' tokenizer does what
the prepare script did, and undoes it. OUTDIR appears complete or not
at all, once it computes what fairseq computes. Needs pip install 'fairseq_plugins[huggingface]'.

    fairseq-plugins export-huggingface runs/pairwise/checkpoint_best.pt exported \\
        --dict data-bin/wikitext-103/dict.txt --bpe-dir gpt2_bpe
    python -c 'from transformers import pipeline; print(pipeline("fill-mask", "exported")("A <mask> day."))'
    fairseq-plugins export-huggingface runs/neuralqkv/checkpoint_best.pt translator
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    add_model_arguments(parser)
    parser.add_argument("--staged", action="store_true", help="a staged model with its code in any case")


def add_model_arguments(parser: ArgumentParser) -> None:
    """What every export of a model with its tokenizer takes."""
    parser.add_argument("source", metavar="CKPT", help="checkpoint to read")
    parser.add_argument("target", metavar="OUTDIR", help="folder to write")
    parser.add_argument("--dict", metavar="FILE", help="dict.txt of the training (default: the one beside CKPT)")
    parser.add_argument("--bpe-dir", metavar="DIR", help="folder with encoder.json and vocab.bpe, for the tokenizer")
    parser.add_argument(
        "--text",
        metavar="DIR",
        help="of a translation or causal language model, for the tokenizer: what a prepare script wrote, with "
        "text.json (default: text/ beside CKPT, or its data)",
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--head", metavar="NAME", help="which classification head, if there are several")
    choice.add_argument("--masked-lm", action="store_true", help="the masked language model in spite of a head")


def run(args: Namespace) -> int:
    from fairseq_plugins.transfer.huggingface.export import export_huggingface

    options = (args.head, args.masked_lm, args.dict, args.bpe_dir, args.staged, args.text)
    for note in export_huggingface(args.source, args.target, *options):
        print(f"export-huggingface: {note}", file=sys.stderr)
    return 0
