"""Write a checkpoint as graphs of ONNX, which onnxruntime and others run without Python.

Every model of the three families, stock or of this plugin, but those whose mixing looks for its keys (value-aware-r). A
masked language model, a classifier and a causal language model become model.onnx: input_ids and attention_mask to
logits. A translation model becomes encoder.onnx and step.onnx, one step of the decoder with the keys and values of the
steps before (with the kernel elu1: their sums); a causal language model has step.onnx, too. graphs.json names inputs,
outputs and special symbols. The tokenizer is written as by export-huggingface. OUTDIR appears complete or not at all,
once onnxruntime computes from it what fairseq computes. Needs pip install 'fairseq_plugins[onnx]'.

    fairseq-plugins export-onnx runs/neuralqkv/checkpoint_best.pt graphs
    fairseq-plugins export-onnx runs/pairwise/checkpoint_best.pt graphs --dict data-bin/wikitext-103/dict.txt \\
        --bpe-dir gpt2_bpe
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from .export_huggingface import add_model_arguments


def add_arguments(parser: ArgumentParser) -> None:
    add_model_arguments(parser)


def run(args: Namespace) -> int:
    from fairseq_plugins.transfer.onnx.exporting import export_onnx

    options = (args.head, args.masked_lm, args.dict, args.bpe_dir, args.text)
    for note in export_onnx(args.source, args.target, *options):
        print(f"export-onnx: {note}", file=sys.stderr)
    return 0
