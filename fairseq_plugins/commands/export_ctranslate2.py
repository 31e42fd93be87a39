"""Write a translation model as a folder for CTranslate2, with the same translations.

Checkpoints of fairseq's transformer and of this plugin's transformer_* are exported; shared and missing projections are
folded into plain attention with identical outputs, as by fold-checkpoint. Networks (neuralqkv, nonlinearquery), other
kernels and sparse mixings are nothing that CTranslate2 has. The dictionaries are those of the training, the second one
only if there are two. OUTDIR appears complete or not at all. Needs pip install 'fairseq_plugins[ctranslate2]'.

translate-ctranslate2 translates with it as fairseq-generate does. int8 makes the folder a third to a quarter as large
and translation faster, with some other words; float16 and bfloat16 are for GPUs.

    fairseq-plugins export-ctranslate2 runs/pairwise/checkpoint_best.pt exported --dict data-bin/iwslt17/dict.de.txt
    fairseq-plugins export-ctranslate2 runs/baseline/checkpoint_best.pt exported-int8 --quantization int8 \\
        --dict data-bin/multi30k/dict.de.txt --target-dict data-bin/multi30k/dict.en.txt
    fairseq-plugins translate-ctranslate2 exported < bpe/test.de > hypotheses.en
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="CKPT", help="checkpoint to read")
    parser.add_argument("target", metavar="OUTDIR", help="folder to write")
    parser.add_argument("--dict", required=True, metavar="FILE", help="the source language's dict.txt")
    parser.add_argument("--target-dict", metavar="FILE", help="the target language's (default: the source's)")
    types = ("float32", "int8", "float16", "bfloat16")
    parser.add_argument("--quantization", choices=types, default="float32", help="of the weights")


def run(args: Namespace) -> int:
    from fairseq_plugins.transfer.ctranslate2.exporting import export_ctranslate2

    notes = export_ctranslate2(args.source, args.target, args.dict, args.target_dict, args.quantization)
    for note in notes:
        print(f"export-ctranslate2: {note}", file=sys.stderr)
    return 0
