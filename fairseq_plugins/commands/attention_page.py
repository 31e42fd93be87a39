"""See the attention of a trained model, token by token: one page, a file that needs no network.

MODEL is a checkpoint of this plugin or of stock fairseq (translation, masked or causal language model, sentence
classifier), or a folder of Hugging Face's transformers. Of a checkpoint, the first lines of a split of DATA are shown,
or those of --text FILE, raw text that goes the way of the training's text. The page has a thumbnail of every head, one
head as a matrix or as lines, for translation the search step by step, and for language models the loss of each token.
Shown are the weights that the model mixed by, whatever its kernel; of sparse mixings the keys that were kept, beside
what dense attention would have had.

examples:
  fairseq-plugins attention-page runs/de-en/checkpoint_best.pt data-bin --split test --out attention.html
  fairseq-plugins attention-page runs/lm/checkpoint_best.pt --text lines.txt --out attention.html
  fairseq-plugins attention-page runs/neuralqkv/checkpoint_best.pt data-bin --beside runs/baseline/checkpoint_best.pt \\
      --sentences 50 --arrays attention.npz --out attention.html
  fairseq-plugins attention-page runs/de-en/checkpoint_best.pt --text test.de --target test.en \\
      --alignments test.align --out attention.html
  fairseq-plugins attention-page ~/models/all-MiniLM-L6-v2 --text lines.txt --out attention.html
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fairseq_plugins.errors import UserError

if TYPE_CHECKING:
    from fairseq_plugins.attention_page.sentence import Example, Model, Sentence


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("model", metavar="MODEL", help="trained checkpoint, or folder of transformers")
    parser.add_argument("data", nargs="?", metavar="DATA", help="folder of fairseq-preprocess with its dictionary")
    parser.add_argument("--out", required=True, metavar="FILE", help="the page")
    parser.add_argument("--sentences", type=int, default=20, metavar="N", help="lines to show (default: 20)")
    parser.add_argument("--split", default="valid", help="of DATA (default: valid)")
    parser.add_argument("--text", metavar="FILE", help="lines to show, instead of a split of DATA")
    parser.add_argument("--target", metavar="FILE", help="their translations, which the model is made to predict")
    parser.add_argument(
        "--reference", action="store_true", help="make the model predict the translations of DATA, and do not search"
    )
    parser.add_argument("--beside", metavar="OTHER", help="a second model, on the same lines with the same output")
    parser.add_argument("--beam", type=int, default=5, metavar="N", help="width of the search (default: 5)")
    parser.add_argument(
        "--alignments",
        metavar="FILE",
        help="gold alignments in the Pharaoh format, a line each; heads get their alignment error rates over all lines",
    )
    parser.add_argument("--arrays", metavar="FILE", help="write the weights in full precision as .npz, too")
    parser.add_argument("--record", metavar="DIR", help="folder with the text.json of the training's text")
    parser.add_argument("--title", metavar="TEXT", help="of the page")
    parser.add_argument(
        "--trust-remote-code", action="store_true", help="run the code that a folder of transformers brings along"
    )
    parser.add_argument("--cpu", action="store_true", help="compute on the CPU even if there is a GPU")


def run(args: argparse.Namespace) -> int:
    """Look at all lines, write the page."""
    check(args)
    import logging

    import torch
    from tqdm import tqdm

    from fairseq_plugins.attention_page.alignments import ErrorRates, read_gold
    from fairseq_plugins.attention_page.packing import arrays_of
    from fairseq_plugins.attention_page.page import attention_page
    from fairseq_plugins.runtime.durable import whole, write_whole

    logging.getLogger("fairseq").setLevel(logging.WARNING)
    device = torch.device("cuda" if torch.cuda.is_available() and not args.cpu else "cpu")
    gold = read_gold(args.alignments) if args.alignments else []
    models = [load(path, args, device) for path in (args.model, args.beside) if path]
    if gold and models[0].kind != "translation":
        raise UserError(f"--alignments is for translation; {args.model} is a model of another kind ({models[0].kind})")
    examples = [lines_for(model, args, None if gold else args.sentences) for model in models]
    if gold and len(gold) != len(examples[0]):
        raise UserError(f"{args.alignments}: {len(gold):,} lines, but there are {len(examples[0]):,} lines to align")
    if not examples[0]:
        raise UserError(f"{args.text or args.data}: there is no line")
    found: list[list[Sentence]] = [[] for _ in models]
    rates = ErrorRates(args.alignments)
    for at, both in enumerate(tqdm(list(zip(*examples)), desc="attention-page", unit="line", disable=None)):
        first: Example = both[0]
        for number, (model, example) in enumerate(zip(models, both)):
            if number and at < args.sentences and model.kind == "translation" and example.target is None:
                example = given(model, example, found[0][at])
            if number and at >= args.sentences:
                continue
            sentence = model.look(example, args.beam)
            if at < args.sentences:
                found[number].append(sentence)
                if sentence.note:
                    print(f"attention-page: line {first.number}: {sentence.note}", file=sys.stderr)
            if gold and not number:
                rates.add(sentence, gold[at])
    title = args.title or " beside ".join(model.name for model in models)
    of_heads = rates.rates() if gold else None
    page = attention_page(list(zip(models, found)), title, of_heads)
    write_whole(args.out, page.encode())
    if args.arrays:
        import numpy as np

        with whole([args.arrays]) as (file,):
            np.savez_compressed(file, **arrays_of(found))
    if of_heads:
        show_rates(of_heads)
    size = Path(args.out).stat().st_size / 1e6
    print(f"{args.out}: {len(found[0])} lines, {size:.1f} MB; open it in a browser")
    return 0


def check(args: argparse.Namespace) -> None:
    """Look at the options together.

    Raises:
        UserError: they do not fit together; the message names the option.
    """
    folder = Path(args.model).is_dir()
    if args.sentences < 1 or args.beam < 1:
        raise UserError(f"--{'sentences' if args.sentences < 1 else 'beam'} needs a number of at least 1")
    for path in filter(None, (args.model, args.beside)):
        if not Path(path).exists():
            raise UserError(f"{path}: no such checkpoint or folder")
    if args.text is None and (args.data is None or folder):
        raise UserError("give lines to look at with --text FILE" + ("" if folder else ", or DATA with a split of it"))
    if args.target and not args.text:
        raise UserError("--target goes with --text; of DATA, give --reference")
    if args.alignments and not (args.target or args.reference):
        raise UserError("--alignments are those of a given translation: give --target FILE, or --reference for DATA's")
    if args.reference and args.text:
        raise UserError("--reference is of DATA; give --target FILE with the translations of --text")


def load(path: str, args: argparse.Namespace, device: object) -> Model:
    """The model of a checkpoint or folder."""
    if Path(path).is_dir():
        from fairseq_plugins.attention_page.transformers_models import TransformersModel

        return TransformersModel(path, device, args.trust_remote_code)  # type: ignore[arg-type]
    from fairseq_plugins.attention_page.fairseq_models import FairseqModel
    from fairseq_plugins.checkpoints.reading import check_archive

    check_archive(path, whole=False)
    return FairseqModel(path, args.data, args.record, device)  # type: ignore[arg-type]


def lines_for(model: Model, args: argparse.Namespace, count: int | None) -> list[Example]:
    """The lines that a model is to look at; all if ``count`` is None."""
    from itertools import islice

    from fairseq_plugins.lines import read_lines

    if args.text is None:
        if not hasattr(model, "examples"):
            raise UserError(f"{model.name}: give lines to look at with --text FILE")
        found: list[Example] = model.examples(args.split, count, args.reference)
        return found
    lines = list(islice(read_lines(args.text), count))
    targets: list[str | None] = list(islice(read_lines(args.target), count)) if args.target else [None] * len(lines)
    if len(lines) != len(targets):
        raise UserError(f"{args.target}: {len(targets):,} lines, but {args.text} has {len(lines):,}")
    return [model.example(at, *pair) for at, pair in enumerate(zip(lines, targets), 1)]


def given(model: Model, example: Example, first: Sentence) -> Example:
    """The line with the translation that the first model has found.

    Raises:
        UserError: the second model has another vocabulary.
    """
    if first.target is None:
        return example
    try:
        same = model.pieces_of(first.target_ids) == first.target.pieces
    except IndexError:
        same = False
    if not same:
        raise UserError(
            f"--beside: {model.name} has another vocabulary of its output, so that it cannot be made to predict "
            "the same tokens; give --target FILE with the translations of --text"
        )
    return example._replace(target=first.target_ids)


def show_rates(rates: list) -> None:
    """Print the best heads by their alignment error rate."""
    from fairseq_plugins.report.tables import markdown_table

    rows = [
        (min(rate), f"{layer + 1}.{head + 1}", f"{rate.output:.3f}", f"{rate.input:.3f}")
        for layer, heads in enumerate(rates)
        for head, rate in enumerate(heads)
    ]
    best = [list(row[1:]) for row in sorted(rows)[:5]]
    print(markdown_table(["layer.head", "AER, query that predicts", "AER, query that reads"], best))
