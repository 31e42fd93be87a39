"""Translate with a folder that export-ctranslate2 wrote, with the hypotheses of fairseq-generate.

Reads sentences of the source language as fairseq-preprocess does, tokenised and in the BPE of the training, one in a
line, and writes the best hypothesis of each to standard output, in their order and in the BPE of the target language
unless --remove-bpe says otherwise. --beam, --lenpen and --max-len-b mean what they mean for fairseq-generate; an empty
line stays empty. Needs pip install 'fairseq_plugins[ctranslate2]'.

    fairseq-plugins translate-ctranslate2 exported < bpe/test.de > hypotheses.en
    fairseq-plugins translate-ctranslate2 exported-int8 bpe/test.de --beam 4 --lenpen 0.6 --remove-bpe --threads 4
    fairseq-plugins translate-ctranslate2 exported bpe/test.de --device cuda --compute-type float16 > hypotheses.en
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="folder of export-ctranslate2")
    parser.add_argument(
        "source", nargs="?", default="/dev/stdin", metavar="FILE", help="sentences, UTF-8 (default: standard input)"
    )
    parser.add_argument("--beam", type=int, default=5, metavar="N", help="beam size (default: 5)")
    parser.add_argument("--lenpen", type=float, default=1.0, metavar="X", help="length penalty (default: 1)")
    parser.add_argument("--max-len-b", type=int, default=200, metavar="N", help="longest hypothesis (default: 200)")
    parser.add_argument(
        "--max-tokens", type=int, default=4096, metavar="N", help="source tokens at once (default: 4096)"
    )
    parser.add_argument(
        "--remove-bpe", nargs="?", const="subword_nmt", choices=["subword_nmt", "sentencepiece"], help="undo the BPE"
    )
    parser.add_argument("--device", choices=["cpu", "cuda", "auto"], default="cpu", help="(default: cpu)")
    parser.add_argument(
        "--compute-type", default="default", metavar="TYPE", help="float32, int8, ... (default: that of the weights)"
    )
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads (default: CTranslate2's)")


def run(args: Namespace) -> int:
    from fairseq.data.data_utils import post_process

    from fairseq_plugins.text.byte_bpe import read_lines
    from fairseq_plugins.transfer.ctranslate2.search import load_translator, translate

    sentences = [line.split() for line in read_lines(args.source)]
    translator = load_translator(
        args.folder, device=args.device, compute_type=args.compute_type, intra_threads=args.threads
    )
    start = time.perf_counter()
    found = translate(translator, sentences, args.beam, args.lenpen, args.max_len_b, args.max_tokens)
    seconds = time.perf_counter() - start
    lines = (post_process(" ".join(translation.tokens), args.remove_bpe) for translation in found)
    sys.stdout.buffer.write("".join(f"{line}\n" for line in lines).encode("utf-8"))
    cut = sum(translation.cut for translation in found)
    counts = f"{len(found)} sentences, {cut} of them cut" if cut else f"{len(found)} sentences"
    print(f"translate-ctranslate2: {counts}, in {seconds:.1f} s", file=sys.stderr)
    return 0
