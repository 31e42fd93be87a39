"""Write a RoBERTa, Marian, FSMT, XGLM or staged model of Hugging Face's transformers as a fairseq checkpoint.

DIR is a folder with config.json, whose model_type says which of them it is, and model.safetensors or
pytorch_model.bin. dict.txt is written beside OUT, but over no other. Needs pip install 'fairseq_plugins[huggingface]':
nothing is written unless transformers' model and the new one have the same outputs.

RoBERTa (roberta-base): the tokenizer's vocab.json and merges.txt or tokenizer.json become encoder.json and vocab.bpe
for --bpe gpt2, also beside OUT. A classifier becomes the classification head sentence_classification_head.

Marian (opus-mt): vocab.json becomes dict.txt, and source.spm and target.spm are copied for apply-sentencepiece. The
checkpoint is a transformer_baseline with Marian's positions, start symbol and output bias.

FSMT, XGLM and staged models, which export-huggingface writes: the checkpoint has the same weights, bit by bit.

    fairseq-plugins import-huggingface roberta-base roberta/model.pt
    fairseq-plugins warm-start roberta/model.pt start.pt --arch roberta_pairwise
    fairseq-train DATA --user-dir fairseq_plugins --arch roberta_baseline --finetune-from-model roberta/model.pt ...
    fairseq-plugins import-huggingface opus-mt-de-en opus/model.pt
    fairseq-plugins warm-start opus/model.pt start.pt --arch transformer_neuralqkv --neural-start reinit
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="DIR", help="folder to read")
    parser.add_argument("target", metavar="OUT", help="checkpoint to write")
    parser.add_argument(
        "--to", choices=["baseline", "stock"], default="baseline", help="of RoBERTa: roberta_baseline or roberta"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of heads that DIR does not have (default: 1)")


def run(args: Namespace) -> int:
    notes = import_folder(args)
    for note in notes:
        print(f"import-huggingface: {note}", file=sys.stderr)
    return 0


def import_folder(args: Namespace) -> list[str]:
    """Import a folder as what its configuration says.

    Raises:
        CheckpointError: it cannot be imported.
        CorpusError: a file cannot be written.
    """
    from fairseq_plugins.checkpoints import CheckpointError
    from fairseq_plugins.transfer.huggingface.files import CONFIG, read_json
    from fairseq_plugins.transfer.huggingface.marian_import import import_marian
    from fairseq_plugins.transfer.huggingface.ported_import import READERS, import_ported
    from fairseq_plugins.transfer.huggingface.roberta_import import import_roberta

    kind = read_json(Path(args.source) / CONFIG).get("model_type")
    if kind in READERS and args.to != "stock":
        return import_ported(args.source, args.target, args.seed)
    if kind in READERS:
        raise CheckpointError(f"{args.source} is no RoBERTa: leave --to out; fold-checkpoint makes stock models")
    if kind != "marian":
        return import_roberta(args.source, args.target, args.to, args.seed)
    if args.to == "stock":
        raise CheckpointError(f"{args.source} is a Marian model, which stock fairseq does not have: leave --to out")
    return import_marian(args.source, args.target)
