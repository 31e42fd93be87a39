"""Write a RoBERTa checkpoint as a folder that Hugging Face's transformers loads without this package.

Stock RoBERTa and roberta_* are exported; shared and missing projections are folded into plain attention with identical
outputs, as by fold-checkpoint, networks (neuralqkv, nonlinearquery) cannot be. A checkpoint with a classification head
becomes a RobertaForSequenceClassification, any other a RobertaForMaskedLM. With the BPE's folder the tokenizer is
written too: its ids are the rows of fairseq's dictionary. OUTDIR appears complete or not at all. Needs the extra
packages of pip install 'fairseq_plugins[huggingface]'.

    fairseq-plugins export-huggingface runs/pairwise/checkpoint_best.pt exported \\
        --dict data-bin/wikitext-103/dict.txt --bpe-dir gpt2_bpe
    python -c 'from transformers import pipeline; print(pipeline("fill-mask", "exported")("A <mask> day."))'
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="CKPT", help="checkpoint to read")
    parser.add_argument("target", metavar="OUTDIR", help="folder to write")
    parser.add_argument("--dict", metavar="FILE", help="dict.txt of the training (default: the one beside CKPT)")
    parser.add_argument("--bpe-dir", metavar="DIR", help="folder with encoder.json and vocab.bpe, for the tokenizer")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--head", metavar="NAME", help="which classification head, if there are several")
    choice.add_argument("--masked-lm", action="store_true", help="the masked language model in spite of a head")


def run(args: Namespace) -> int:
    from fairseq_plugins.transfer.huggingface.roberta_export import export_roberta

    notes = export_roberta(args.source, args.target, args.head, args.masked_lm, args.dict, args.bpe_dir)
    for note in notes:
        print(f"export-huggingface: {note}", file=sys.stderr)
    return 0
