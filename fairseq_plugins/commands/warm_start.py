"""Start a model from the trained weights of one with other attention.

Every parameter that both models have is copied. What the new attention has instead is constructed from what the
pretrained one had, where that is possible, and initialised otherwise; a table says which parameter is which, and how
far the outputs are from the pretrained model's. Data is not needed. ARCH and the model options that you give (any of
fairseq-train --arch ARCH) say which attention the new model has; sizes and all other options are PRETRAINED's.

    fairseq-plugins warm-start roberta.base/model.pt start.pt --arch roberta_pairwise_base
    fairseq-plugins warm-start roberta.base/model.pt start.pt --arch roberta_neuralqkv_base --neural-noise 0.01
    fairseq-train DATA --user-dir fairseq_plugins --arch roberta_neuralqkv_base --restore-file start.pt \\
        --reset-optimizer --reset-lr-scheduler --reset-dataloader --reset-meters ...

symmetric, pairwise from plain attention: the shared projection (and pairwise factors) whose scores are nearest to the
pretrained ones, with the error that is left for each head. From pairwise or symmetric to plain attention is exact.

sharedkv, sharedqkv: the shared projection is the pretrained one of its name, k or q. --attention-kv-heads: each head of
keys and values is the mean of those of its group (Ainslie et al. 2023). Back to plain attention both are exact.

neural from linear projections: --neural-start preserve gives networks of the roberta shape that compute the same as
the projections did; their hidden units are then pairs of opposite sign, and --neural-noise breaks that tie at a small
change that is measured. --neural-start reinit is the paper's protocol: networks from N(0, 0.02^2), all else
pretrained. Its control, a baseline that lost the same weights, is --arch roberta_baseline_base --reinit q,k,v (or
transformer_baseline with --reinit q,k,out).
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from typing import TYPE_CHECKING, Any

from fairseq_plugins.errors import UserError
from fairseq_plugins.runtime.durable import write_whole

if TYPE_CHECKING:
    from fairseq_plugins.transfer.warm_start import WarmStart


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pretrained", metavar="PRETRAINED", help="trained checkpoint, of stock fairseq or the plugin")
    parser.add_argument("output", metavar="OUT", help="checkpoint to write")
    parser.add_argument(
        "--training",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="OPTION",
        help="all that follows are options of fairseq-train; those of the model are taken",
    )
    parser.add_argument("--arch", required=True, metavar="ARCH", help="architecture of the new model")
    parser.add_argument("--neural-start", choices=("preserve", "reinit"), default="preserve", help="default: preserve")
    parser.add_argument(
        "--neural-noise", type=noise, default=0.0, metavar="STD", help="share of the weights' RMS (default: 0)"
    )
    parser.add_argument(
        "--reinit", type=roles, default=(), metavar="ROLES", help="of q,k,v,out: projections to draw anew"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of everything random (default: 1)")
    parser.add_argument("--dict", metavar="FILE", help="dict.txt of the data to go on with: must be PRETRAINED's")
    parser.add_argument("--json", metavar="FILE", help="write the table, every parameter on its own, and all figures")
    parser.add_argument_group("model options", "as fairseq-train takes them; 'fairseq-train --arch ARCH --help'")


def add_hidden_arguments(parser: argparse.ArgumentParser) -> None:
    from fairseq_plugins.checkpoints import building

    for action in building.every_model_option():
        if not set(action.option_strings) & set(parser._option_string_actions):
            action.default = action.help = argparse.SUPPRESS
            parser._add_action(action)


def run(args: argparse.Namespace) -> int:
    from fairseq_plugins.transfer.attention_start import Settings
    from fairseq_plugins.transfer.warm_start import warm_start_checkpoint

    settings = Settings(args.neural_start, args.neural_noise, args.reinit, args.seed)
    given = given_options(args)
    started = warm_start_checkpoint(args.pretrained, args.output, args.arch, given, settings, args.dict, say)
    print(summary(started))
    print(f"\ngo on with:\n{next_command(started, args.output)}")
    if args.json:
        write_whole(args.json, (json.dumps(as_record(started, args), indent=2) + "\n").encode())
    return 0


def say(sentence: str) -> None:
    """Progress and errors, beside the table on stdout."""
    print(f"warm-start: {sentence}", file=sys.stderr)


def noise(text: str) -> float:
    """A number of at least 0."""
    value = float(text)
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"{text}: must be 0 or more")
    return value


def roles(text: str) -> tuple[str, ...]:
    """``q,k,out`` -> its parts."""
    from fairseq_plugins.transfer.attention_names import ROLES

    found = tuple(part.strip() for part in text.split(","))
    if not set(found) <= set(ROLES):
        raise argparse.ArgumentTypeError(f"{text}: a comma-separated set of {', '.join(ROLES)}")
    return found


def given_options(args: argparse.Namespace) -> dict[str, Any]:
    """The model options on the command line.

    Raises:
        UserError: one that the architecture's model does not have.
    """
    from fairseq_plugins.checkpoints import building

    known = {action.dest for action in building.option_parser(args.arch)._actions}
    given = {}
    for action in building.every_model_option():
        if action.dest in args and action.dest not in known:
            raise UserError(f"{action.option_strings[-1]} is no option of {args.arch}")
        if action.dest in args:
            given[action.dest] = getattr(args, action.dest)
    return {**given, **of_training(args.arch, args.training)}


def of_training(arch: str, words: list[str]) -> dict[str, Any]:
    """The model's options among those of a training."""
    from fairseq_plugins.checkpoints import building

    parser = building.option_parser(arch)
    for action in parser._actions:
        action.default = argparse.SUPPRESS
    return vars(parser.parse_known_args(words)[0])


def summary(started: WarmStart) -> str:
    """The table, and below it what was measured."""
    from fairseq_plugins.transfer.outcome import table

    lines = [table(started.outcomes), ""]
    for name, attention in started.attention.items():
        if attention.score_errors is not None:
            errors = " ".join(f"{error:.3f}" for error in attention.score_errors)
            lines.append(f"relative error of the scores, by head: {name}: {errors}")
    changes = [change for attention in started.attention.values() for change in attention.noise.values()]
    if changes:
        mean = sum(changes) / len(changes)
        lines.append(
            f"relative change of the networks' outputs by noise: {mean:.2g} in the mean, {max(changes):.2g} at most"
        )
    change = started.change
    lines.append(
        f"outputs on random sentences: a logit changed by {change['logit']:.2g} at most, "
        f"Kullback-Leibler divergence {change['kl']:.2g} nats a token"
    )
    return "\n".join(lines)


def next_command(started: WarmStart, output: str) -> str:
    """The fairseq-train command that goes on; the rest of the recipe is the user's."""
    model = ["--arch", started.options.arch, *started.words]
    resets = ["--reset-optimizer", "--reset-lr-scheduler", "--reset-dataloader", "--reset-meters"]
    command = ["fairseq-train", "DATA", "--user-dir", "fairseq_plugins", *model, "--restore-file", output, *resets]
    return shlex.join(command)


def as_record(started: WarmStart, args: argparse.Namespace) -> dict[str, Any]:
    """Everything the summary says, as plain data."""
    return {
        "pretrained": args.pretrained,
        "arch": args.arch,
        "options": started.words,
        "parameters": [outcome.as_record() for outcome in started.outcomes],
        "score_errors": {
            name: attention.score_errors
            for name, attention in started.attention.items()
            if attention.score_errors is not None
        },
        "noise": {name: attention.noise for name, attention in started.attention.items() if attention.noise},
        "change": started.change,
    }
