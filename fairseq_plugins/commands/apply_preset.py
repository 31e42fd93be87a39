"""What ``scripts/train.sh --preset`` makes of a training's command.

fast: every criterion and optimizer that has a fused twin here becomes that, and our architectures get --fast-dropout.
fast-bf16: also --autocast-bf16, or a criterion under autocast where there is no fused one; on a CPU without
instructions for bfloat16, where that would be several times as slow, it is fast alone, and says so. What has no twin
stays.

Printed, each with a null byte after it: a sentence that says what was set, then the words of the command.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

SWITCHES = ("--autocast-bf16", "--fast-dropout")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--preset", required=True, choices=("fast", "fast-bf16"))
    parser.add_argument("--arch", required=True, help="the architecture that is trained")
    parser.add_argument("--cpu", action="store_true", help="it is trained on CPUs")
    parser.add_argument("command", nargs="*", metavar="-- WORD", help="the training's command")


def twin(name: str, bf16: bool) -> str:
    """The criterion or optimizer of ours that takes the place of another, or that one itself."""
    from fairseq.criterions import CRITERION_REGISTRY
    from fairseq.optim import OPTIMIZER_REGISTRY

    import fairseq_plugins.criterions
    import fairseq_plugins.optim  # noqa: F401  they register what they hold

    for prefix in ("fused", "autocast")[: 1 + bf16]:
        candidate = f"{prefix}_{name}"
        if candidate in CRITERION_REGISTRY or candidate in OPTIMIZER_REGISTRY:
            return candidate
    return name


def apply(preset: str, arch: str, command: list[str], cpu: bool) -> tuple[str, list[str]]:
    """What was set, as a sentence, and the command with it.

    Args:
        preset: ``fast`` or ``fast-bf16``.
        arch: the architecture that is trained.
        command: words, among them ``--criterion`` and ``--optimizer``; fairseq takes the last of several.
        cpu: where it is trained: of a GPU nothing is asked.
    """
    from fairseq_plugins.models.grid import is_ours
    from fairseq_plugins.runtime import processor

    slow = preset == "fast-bf16" and cpu and not processor.multiplies_bfloat16()
    bf16 = preset == "fast-bf16" and not slow
    words, chosen = list(command), {"--criterion": "", "--optimizer": ""}
    for index, word in enumerate(command):
        option, equals, value = word.partition("=")
        if option not in chosen:
            continue
        chosen[option] = twin(value if equals else "".join(command[index + 1 : index + 2]), bf16)
        if equals:
            words[index] = f"{option}={chosen[option]}"
        else:
            words[index + 1 : index + 2] = [chosen[option]]
    changed, kept = [], []
    for option, name in chosen.items():
        if name.startswith(("fused_", "autocast_")):
            changed += [option, name]
        else:
            kept.append(f"{option} {name}")
        if bf16 and name.startswith("fused_") and option == "--criterion":
            changed.append("--autocast-bf16")
    if is_ours(arch):
        changed.append("--fast-dropout")
    else:
        kept.append(f"the dropout of {arch}, which is none of our architectures")
    words += [word for word in changed if word in SWITCHES and word not in words]
    left = f"; no faster twin: {', '.join(kept)}" if kept else ""
    left += "; no --autocast-bf16: this CPU has no instructions for bfloat16" if slow else ""
    return f"--preset {preset} sets {' '.join(changed) or 'nothing'}{left}", words


def run(args: Namespace) -> int:
    sentence, words = apply(args.preset, args.arch, args.command, args.cpu)
    sys.stdout.write("".join(f"{text}\0" for text in (sentence, *words)))
    return 0
