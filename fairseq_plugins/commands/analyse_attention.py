"""How well sparse attention can do in a trained model: every mixing at every r, against dense attention.

Writes, for each mixing and r, the output error |o - o'| / |o| of each layer and head (with exact inputs), and the loss
(BLEU with --bleu) of the model with that mixing everywhere; and the entropy and the share of the r largest weights of
each head: analysis.json, quality.csv, errors.csv, weights.csv, curves.png and heatmaps.png in --out. A second start
goes on where the first was stopped. CHECKPOINT is a translation model, a masked or a causal language model, of this
plugin or of stock fairseq, on a split of DATA; its kernel is the one that it was trained with. Or it is a folder
of Hugging Face's transformers (a masked or causal language model, or an encoder, which has no loss) on the lines of
--text.

examples:
  fairseq-plugins analyse-attention runs/lm/checkpoint_best.pt data/wikitext-2/bin --out runs/lm/analysis
  fairseq-plugins analyse-attention model.pt data-bin --split test --r 1,2,4,8 --bleu --remove-bpe subword_nmt \\
      --detok moses --out analysis
  fairseq-plugins analyse-attention ~/models/all-MiniLM-L6-v2 --text lines.txt --r 1,2,4,8 --out minilm
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fairseq_plugins.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="trained model")
    parser.add_argument(
        "data", nargs="?", metavar="DATA", help="folder of fairseq-preprocess with the model's dictionary"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="where the results go")
    parser.add_argument("--text", metavar="FILE", help="of a folder of transformers: raw text, a sentence a line")
    parser.add_argument("--split", default="valid", help="of the data (default: valid)")
    parser.add_argument("--mixings", metavar="A,B", help="default: all of --attention-mixing but dense")
    parser.add_argument("--r", default="1,2,4,8,16,32", metavar="N,N,...", help="keys a query (default: 1,2,4,8,16,32)")
    parser.add_argument("--sites", metavar="A,B", help="of encoder,decoder,cross; the others stay dense (default: all)")
    parser.add_argument("--max-tokens", type=int, default=2048, metavar="N", help="of a batch (default: 2048)")
    parser.add_argument("--batches", type=int, metavar="N", help="only the first N batches (default: all)")
    parser.add_argument(
        "--tokens-per-sample", type=int, metavar="N", help="of a language model's blocks (default: as trained)"
    )
    parser.add_argument(
        "--skip-invalid-size-inputs-valid-test",
        action="store_true",
        help="leave out what is longer than the model takes; the last line says how much",
    )
    parser.add_argument("--swaps", type=int, default=0, metavar="N", help="--attention-value-aware-swaps (default: 0)")
    parser.add_argument("--value-norm", default="1", metavar="N", help="--attention-value-norm, 1 or 2 (default: 1)")
    parser.add_argument("--chunk", type=int, default=0, metavar="N", help="--attention-value-aware-chunk (default: 0)")
    parser.add_argument("--bleu", action="store_true", help="translate the split too, and score it")
    parser.add_argument("--beam", type=int, default=5, help="width of the beam for --bleu (default: 5)")
    parser.add_argument(
        "--remove-bpe", nargs="?", const="subword_nmt", metavar="NAME", help="undo subwords, as in fairseq-generate"
    )
    parser.add_argument("--detok", default="space", choices=("space", "moses"), help="undo tokens (default: space)")
    parser.add_argument(
        "--trust-remote-code", action="store_true", help="run the code that a folder of transformers brings along"
    )
    parser.add_argument("--cpu", action="store_true", help="compute on the CPU even if there is a GPU")


def run(args: argparse.Namespace) -> int:
    """Do the sweep, print the table, write the files."""
    import torch

    from fairseq_plugins.analysis import report
    from fairseq_plugins.analysis.sweep import Bleu, Sweep

    logging.getLogger("fairseq").setLevel(logging.WARNING)
    device = torch.device("cuda" if torch.cuda.is_available() and not args.cpu else "cpu")
    folder = Path(args.out)
    mixings, rs, sites = chosen(args)
    evaluation = of_folder(args, device) if os.path.isdir(args.checkpoint) else of_checkpoint(args, device)
    weights = next((path for path in (Path(args.checkpoint), *weights_of(args)) if path.is_file()), None)
    size = f", {os.path.getsize(weights)} bytes" if weights else ""
    setting = {
        "checkpoint": f"{os.path.abspath(args.checkpoint)}{size}",
        "data": os.path.abspath(args.data or args.text),
        **{name: getattr(args, name) for name in ("split", "batches", "max_tokens", "tokens_per_sample")},
        **{name: getattr(args, name) for name in ("sites", "swaps", "bleu", "beam", "remove_bpe", "detok")},
        "value_norm": None if args.value_norm == "1" else args.value_norm,  # as in results from before this option
    }
    sweep = Sweep(args.out, setting)
    content = sweep.run(
        evaluation,
        sites,
        mixings,
        rs,
        {
            "attention_value_aware_swaps": args.swaps,
            "attention_value_aware_chunk": args.chunk,
            "attention_value_norm": args.value_norm,
        },
        Bleu(args.beam, args.remove_bpe, args.detok) if args.bleu else None,
        lambda line: print(f"analyse-attention: {line}", flush=True),
    )
    print(report.markdown(content))
    report.write_tables(content, folder)
    try:
        report.write_plots(content, folder, title_of(args))
    except ModuleNotFoundError as error:
        print(f"analyse-attention: {error}", file=sys.stderr)
    if "left out" in content:
        print(f"analyse-attention: {content['left out']}")
    return 0


def of_checkpoint(args: argparse.Namespace, device: Any) -> Callable[[], Any]:
    """What loads a checkpoint of fairseq with its data.

    Raises:
        UserError: it cannot be read, or there are no data.
    """
    from fairseq_plugins.analysis.evaluate import Evaluation
    from fairseq_plugins.checkpoints.reading import check_archive

    check_archive(args.checkpoint, whole=False)
    if args.data is None or args.text is not None:
        raise UserError(f"{args.checkpoint}: a checkpoint is analysed on DATA, a folder of fairseq-preprocess")
    skip = args.skip_invalid_size_inputs_valid_test
    settings = (args.split, args.max_tokens, args.batches, args.tokens_per_sample, device, skip)
    return lambda: Evaluation(args.checkpoint, args.data, *settings)


def of_folder(args: argparse.Namespace, device: Any) -> Callable[[], Any]:
    """What loads a folder of transformers with its text.

    Raises:
        UserError: there is no text, or an option that a folder does not take.
    """
    if args.text is None or args.data is not None:
        raise UserError(f"{args.checkpoint}: a folder of transformers is analysed on --text FILE")
    if args.bleu:
        raise UserError("--bleu is for translation models of fairseq")
    from fairseq_plugins.analysis.transformers_evaluation import TransformersEvaluation

    skip = args.skip_invalid_size_inputs_valid_test
    settings = (args.max_tokens, args.batches, device, skip, args.trust_remote_code)
    return lambda: TransformersEvaluation(args.checkpoint, args.text, *settings)


def weights_of(args: argparse.Namespace) -> Iterator[Path]:
    """The files of a folder that may hold its weights."""
    return Path(args.checkpoint).glob("*.safetensors")


def title_of(args: argparse.Namespace) -> str:
    """The folder of a checkpoint, or the folder itself."""
    path = Path(args.checkpoint).resolve()
    return path.name if path.is_dir() else path.parent.name


def chosen(args: argparse.Namespace) -> tuple:
    """Mixings, r and sites.

    Raises:
        UserError: one is not known; the message names the option.
    """
    from fairseq_plugins.attention.config import SITES
    from fairseq_plugins.attention.stages import MIXING

    sparse = [name for name in MIXING.choices if name != "dense"]
    mixings = args.mixings.split(",") if args.mixings else sparse
    for name in mixings:
        if name not in sparse:
            raise UserError(f"--mixings {args.mixings}: {name!r} is unknown; known: {', '.join(sparse)}")
    if not all(part.isdecimal() and int(part) > 0 for part in args.r.split(",")):
        raise UserError(f"--r {args.r}: give positive integers separated by commas, such as 1,2,4,8")
    sites = args.sites.split(",") if args.sites else None
    for site in sites or []:
        if site not in SITES:
            raise UserError(f"--sites {args.sites}: {site!r} is unknown; known: {', '.join(SITES)}")
    return mixings, sorted({int(part) for part in args.r.split(",")}), sites
