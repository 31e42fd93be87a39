"""Write a RoBERTa of Hugging Face's transformers as a fairseq checkpoint.

DIR is a folder of the shape of roberta-base: config.json, model.safetensors or pytorch_model.bin, and the tokenizer's
vocab.json and merges.txt or tokenizer.json. dict.txt is written beside OUT, and from a tokenizer encoder.json and
vocab.bpe for --bpe gpt2. A classifier becomes the classification head sentence_classification_head. Reading
safetensors needs pip install 'fairseq_plugins[huggingface]'.

    fairseq-plugins import-huggingface roberta-base roberta/model.pt
    fairseq-plugins warm-start roberta/model.pt start.pt --arch roberta_pairwise
    fairseq-train DATA --user-dir fairseq_plugins --arch roberta_baseline --finetune-from-model roberta/model.pt ...
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from fairseq_plugins.checkpoints import CheckpointError
from fairseq_plugins.corpus import CorpusError
from fairseq_plugins.transfer.huggingface.importing import import_huggingface


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="DIR", help="folder to read")
    parser.add_argument("target", metavar="OUT", help="checkpoint to write")
    parser.add_argument("--to", choices=["baseline", "stock"], default="baseline", help="roberta_baseline or roberta")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of heads that DIR does not have (default: 1)")


def run(args: Namespace) -> int:
    try:
        notes = import_huggingface(args.source, args.target, args.to, args.seed)
    except (CheckpointError, CorpusError, OSError) as error:
        print(f"import-huggingface: {error}", file=sys.stderr)
        return 1
    for note in notes:
        print(f"import-huggingface: {note}", file=sys.stderr)
    return 0
