"""What sparse mixings cost in several models: the analyses of their runs side by side, tested over seeds.

Each RUN is a folder of scripts/train.sh with analysis/ in it, or a folder of fairseq-plugins analyse-attention. Folders
whose names differ only in "-seedN" are one model. Three questions are answered at one r, with intervals over seeds:
what it is worth to look at the values (top-r against value-aware-r in the same model); how much of that is won by
looking at their norms alone (the share of value-norm-r, where it was analysed); and whether a model loses more than the
baseline where values are not looked at (top-r in both).

examples:
  fairseq-plugins compare-analyses runs/wikitext-2-mixing/lm-*-seed* --baseline lm-exp --plot costs.png
  fairseq-plugins compare-analyses runs/wikitext-2-mixing/mlm-*-seed* --baseline mlm-exp --r 8 --json answers.json
"""

from __future__ import annotations

import argparse

from fairseq_plugins.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run or of its analysis")
    parser.add_argument("--baseline", metavar="NAME", help="model to test against (default: 'baseline', or the first)")
    parser.add_argument("--r", type=int, metavar="N", help="keys a query of the tests (default: 4, or the middle one)")
    parser.add_argument("--json", metavar="FILE", help="write the losses and the tests")
    parser.add_argument("--csv", metavar="FILE", help="write one line a model, seed, mixing and r")
    parser.add_argument("--plot", metavar="FILE", help="draw cost against r (needs matplotlib)")


def run(args: argparse.Namespace) -> int:
    """Read the analyses, print the table and the answers, write the files."""
    from fairseq_plugins.report import analyses, costs
    from fairseq_plugins.report.outputs import write_outputs
    from fairseq_plugins.report.runs import baseline_first

    groups = baseline_first(analyses.grouped(map(analyses.read_analysis, args.runs)), args.baseline)
    _, rs = analyses.parts(groups)
    if not rs:
        raise UserError(f"{args.runs[0]}: no sparse mixing was analysed; call analyse-attention with --mixings and --r")
    r = args.r or (4 if 4 in rs else rs[len(rs) // 2])
    if r not in rs:
        raise UserError(f"--r {args.r}: the analyses have r = {', '.join(map(str, rs))}")
    baseline = next(iter(groups))
    print(costs.as_markdown(groups, baseline, r))
    write_outputs(
        args,
        costs.as_record(groups, baseline, r),
        lambda: costs.as_csv(groups),
        lambda path: costs.plot_costs(groups, path),
    )
    return 0
