"""A controlled comparison from one file to one page.

STUDY.yaml names a recipe of examples/, the variants, the seeds, the baseline and what is held equal: parameters,
operations or seconds, the tuning, the data. What it says of attention is any option of fairseq-train:

    recipe: toy/translation            # examples/toy/translation.sh
    variants:
      baseline:                        # the recipe's variant of that name
      elu1: --attention-kernel elu1    # or options, here of the baseline
    seeds: 1-5
    budget: {equal: parameters}        # wider or narrower feed-forward layers until all are as large as the baseline
    tune:
      seeds: [101]                     # none of the study's
      grid: {lr: [0.003, 0.005]}
      length-penalty: [0.6, 1, 1.4]

Everything goes to one folder, report/report.html in it is the page. Whatever stops the study, the same command goes on
where it was. Several calls of it share the work, on one machine or many (docs/studies.md).

    fairseq-plugins study examples/toy/study.yaml --plan
    fairseq-plugins study examples/toy/study.yaml --cpu --jobs 2
    fairseq-plugins study examples/toy/study.yaml --gpus 4 --add-seeds 6-8
    fairseq-plugins study examples/neural_qkv/study.yaml --cpu --with from ~/multi30k
    fairseq-plugins study examples/toy/study.yaml --report
"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("study", metavar="STUDY.yaml", help="what is compared, and how")
    parser.add_argument("--out", metavar="DIR", help="folder of the study (default: runs/study-NAME, NAME the file's)")
    parser.add_argument("--gpus", type=_count, metavar="N", help="N runs side by side, a GPU each (default: all GPUs)")
    parser.add_argument("--cpu", action="store_true", help="run on the CPU")
    parser.add_argument("--jobs", type=_count, metavar="N", help="N runs side by side on the CPU (default: 1)")
    parser.add_argument(
        "--threads",
        type=_count,
        metavar="N",
        help="threads of a run on the CPU (default: the cores over --jobs, 4 at most)",
    )
    parser.add_argument("--only", metavar="A,B", help="run these variants alone")
    parser.add_argument("--add-seeds", metavar="6-8", help="more seeds, for this and every later call")
    parser.add_argument("--report", action="store_true", help="run nothing: the report of what is there so far")
    parser.add_argument(
        "--plan", action="store_true", help="print how many runs there are and how long they take, do nothing"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the commands, write nothing")
    parser.add_argument("--smoke", action="store_true", help="tiny models and two seeds: shows that all fits together")
    parser.add_argument("--resume", action="store_true", help="accepted; a study always goes on where it stopped")
    parser.add_argument(
        "--with",
        nargs=2,
        action="append",
        default=[],
        dest="recipe_options",
        metavar=("OPTION", "VALUE"),
        help="an option of the recipe for every run, as under with: in the file; may be given several times",
    )


def run(args: Namespace) -> int:
    from fairseq_plugins.study.call import call

    return call(args)


def _count(text: str) -> int:
    if not text.isdigit():
        raise ArgumentTypeError(f"a number, not {text!r}")
    return int(text)
