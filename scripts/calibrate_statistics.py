#!/usr/bin/env python3
"""How often the tests of a study are wrong: studies of two arms that are drawn from the seeds of one model.

    scripts/calibrate_statistics.py [SCORES.npz ...] [--studies N] [--seed N] [--plot FILE]
    scripts/calibrate_statistics.py --runs DIR --record FILE.npz [--metric BLEU] [--subset test]
    scripts/calibrate_statistics.py --simulate [--studies N] [--seed N]

Between two arms of one model there is no difference: whoever finds one is wrong. The first table tells how often the
test of a study is (5 % of the time, if all is well), for 3, 5 and 8 seeds an arm. It also tells what comes of a paired
bootstrap for each pair of seeds, as of `fairseq-plugins compare`, whose reader believes the first seed, or any, or
wants all. The second table adds a true difference, in standard deviations of the seeds, and tells how often it is
found; --plot draws it.

Without files the recorded scores of tests/report/recorded_scores are read. --runs takes folders of runs that differ in
their seed alone, with a translation (scripts/generate.sh, scripts/score.sh) or the losses of a language model's tokens
(fairseq-plugins token-losses), and --record writes what is needed of them to a small file.

--simulate takes scores with known parts instead, such as variants that differ on single sentences, or unevenly by seed.

    scripts/calibrate_statistics.py
    scripts/calibrate_statistics.py --plot docs/statistics_power.svg
    scripts/calibrate_statistics.py --runs runs/null --metric chrF2 --record chrf2.npz
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from fairseq_plugins.errors import UserError
from fairseq_plugins.report.crossed import LEVEL, components, pseudo_values
from fairseq_plugins.report.losses_by_block import LOSS, loss_units, losses_file, read_losses
from fairseq_plugins.report.plots import new_figure, save
from fairseq_plugins.report.tables import markdown_table
from fairseq_plugins.report.translations import OF_SUMS, metrics_of, read_translation, translation_units
from fairseq_plugins.report.units import Measure
from fairseq_plugins.runtime.durable import write_whole

RECORDED = Path(__file__).resolve().parents[1] / "tests" / "report" / "recorded_scores"
SEEDS = (3, 5, 8)
SHIFTS = np.arange(0, 4.25, 0.25)
#: what a reader of one p for each pair of seeds may do: call it a difference if the first, any or all are below 5 %
READERS = {
    "bootstrap, first seed": lambda p: p[..., 0] < LEVEL,
    "bootstrap, any seed": lambda p: (p < LEVEL).any(-1),
    "bootstrap, all seeds": lambda p: (p < LEVEL).all(-1),
}
TEST = "seeds and units"
#: of Okabe and Ito, which the colour-blind can tell apart
COLOURS = ("#0072B2", "#D55E00", "#009E73")
#: loss sums are recorded in thousandths of a nat
FINENESS = {"loss": 1000}
#: seeds an arm -> test -> share of the studies that find a difference, for each shift
Rates = dict[int, dict[str, list[float]]]


@dataclass
class Scores:
    """Many seeds of one model: ``sums`` ``[R, N, k]``."""

    name: str
    measure: Measure
    sums: np.ndarray

    def __post_init__(self) -> None:
        self.scores = self.measure.of_sums(self.sums.sum(1))
        self.covariance = np.cov([pseudo_values(self.measure, run) for run in self.sums])
        self.deviation = float(self.scores.std(ddof=1))

    def resampled(self, samples: int = 1000) -> np.ndarray:
        """The scores ``[R, samples]`` of test sets that are drawn from this one as sacreBLEU's bootstrap does it."""
        units = self.sums.shape[1]
        drawn = np.random.default_rng(12345).choice(units, size=(samples, units), replace=True)
        times = np.stack([np.bincount(row, minlength=units) for row in drawn]).astype(float)
        return self.measure.of_sums(times @ self.sums)


def bootstrapped(runs: Scores, resampled: np.ndarray, shift: float) -> np.ndarray:
    """p of sacreBLEU's paired bootstrap for every pair of runs ``[R, R]``, ``shift`` added to the second one."""
    found = np.empty((len(resampled),) * 2)
    for row, base in enumerate(resampled):
        differences = np.abs(resampled + shift - base)
        real = np.abs(runs.scores + shift - runs.scores[row])
        beyond = differences - differences.mean(-1, keepdims=True) > real[:, None]
        found[row] = (beyond.sum(-1) + 1) / (resampled.shape[-1] + 1)
    return found


def rejections(runs: Scores, studies: int = 1000, seed: int = 1, shifts: Sequence[float] = (0.0,)) -> Rates:
    """How often studies of two arms, each of some of these seeds, find a difference.

    Args:
        shifts: true differences, in standard deviations of the seeds' scores.
    """
    rng = np.random.default_rng(seed)
    resampled = runs.resampled()
    pairs = [bootstrapped(runs, resampled, shift * runs.deviation) for shift in shifts]
    found: Rates = {}
    for size in SEEDS:
        everyone = np.tile(np.arange(len(runs.sums)), (studies, 1))
        drawn = rng.permuted(everyone, axis=1)[:, : 2 * size]
        covariance = runs.covariance[drawn[:, :, None], drawn[:, None, :]]
        parts = components(runs.scores[drawn], covariance, (size, size), runs.sums.shape[1])
        rates = {TEST: [float((parts.p(shift * runs.deviation) < LEVEL).mean()) for shift in shifts]}
        for name, differs in READERS.items():
            rates[name] = [float(differs(p[drawn[:, :size], drawn[:, size:]]).mean()) for p in pairs]
        found[size] = rates
    return found


# ---- what is simulated


@dataclass
class Parts:
    """Standard deviations in the scores of simulated studies of 100 units.

    Attributes:
        seeds: of each arm.
        units: of what the arms differ in on a unit; its mean over all units there could be is 0.
        skewed: the seeds are distributed exponentially, not normally.
    """

    name: str
    seeds: tuple[float, float]
    units: float
    noise: float = 1.0
    skewed: bool = False

    def rejections(self, sizes: tuple[int, int], studies: int = 1000, seed: int = 1, units: int = 100) -> float:
        """The share of the studies that find a difference, where there is none."""
        rng = np.random.default_rng(seed)
        shape = (studies, sum(sizes), 1)
        effects = rng.standard_exponential(shape) - 1 if self.skewed else rng.standard_normal(shape)
        values = self.noise * rng.standard_normal((studies, sum(sizes), units))
        values += np.repeat(self.seeds, sizes)[:, None] * effects
        values[:, sizes[0] :] += self.units * rng.standard_normal((studies, 1, units))
        scores = values.mean(-1)
        centred = values - scores[..., None]
        covariance = centred @ centred.transpose(0, 2, 1) / (units - 1)
        return float((components(scores, covariance, sizes, units).p() < LEVEL).mean())


SIMULATED = (
    Parts("the runs differ by seed alone", (0.3, 0.3), 0.0),
    Parts("the variants differ on single sentences, too", (0.3, 0.3), 0.7),
    Parts("the variants differ on sentences above all", (0.05, 0.05), 1.0, noise=0.3),
    Parts("one variant's seeds vary six times as much", (0.1, 0.6), 0.7),
    Parts("the same, and few of the seeds are far off", (0.1, 0.6), 0.7, skewed=True),
)
SIMULATED_SIZES = ((2, 2), (3, 3), (5, 5), (8, 8), (3, 8), (8, 3))


def simulated_table(studies: int, seed: int) -> str:
    """As Markdown."""
    header = ["simulated studies", *(f"{a} seeds" if a == b else f"{a} and {b}" for a, b in SIMULATED_SIZES)]
    rows = [
        [parts.name, *(f"{parts.rejections(sizes, studies, seed):.1%}" for sizes in SIMULATED_SIZES)]
        for parts in SIMULATED
    ]
    return markdown_table(header, rows)


# ---- what is recorded


def check_enough(path: Path, runs: int) -> None:
    """Look whether two arms can be drawn.

    Raises:
        UserError: there are too few runs.
    """
    if runs < 2 * max(SEEDS):
        raise UserError(f"{path} has {runs} runs; train {2 * max(SEEDS)} seeds of one model or more")


def read_scores(path: Path) -> Scores:
    """A file that ``--record`` wrote."""
    with np.load(path, allow_pickle=False) as content:
        name, sums = str(content["metric"]), content["sums"].astype(float)
    check_enough(path, len(sums))
    sums[..., 0] /= FINENESS.get(name, 1)
    measure = LOSS if name == "loss" else Measure(name, *OF_SUMS[name][:1], 2, name, OF_SUMS[name][1])
    return Scores(path.stem, measure, sums)


def record(folder: Path, metric: str, subset: str, path: Path) -> None:
    """Write the sums of all runs in a folder as integers."""
    sums = []
    for run in sorted(child for child in folder.iterdir() if (child / "run.json").is_file()):
        if losses_file(run, subset).is_file():
            metric = "loss"
            sums.append(loss_units(read_losses(run, subset))["loss"].sums)
        else:
            translation = read_translation(str(run), subset)
            metrics = metrics_of(translation, with_ter=metric == "TER")
            sums.append(translation_units(translation, metrics)[metric].sums)
    check_enough(folder, len(sums))
    whole = np.stack(sums)
    whole[..., 0] *= FINENESS.get(metric, 1)
    whole = np.rint(whole).astype(np.int64)
    content = io.BytesIO()
    np.savez_compressed(content, metric=metric, sums=whole.astype(np.min_scalar_type(whole.max())))
    write_whole(path, content.getvalue())


# ---- what is said


def tables(runs: Scores, found: Rates) -> str:
    """Both tables as Markdown."""
    digits = 3 if runs.measure.name == "loss" else 2
    seeds, units, _ = runs.sums.shape
    title = (
        f"{runs.name}: {runs.measure.name} of {seeds} seeds on {units} units, mean {runs.scores.mean():.{digits}f}, "
        f"standard deviation of the seeds {runs.deviation:.{digits}f}"
    )
    header = ["test", *(f"{size} seeds" for size in found)]
    wrong = [[name, *(f"{found[size][name][0]:.1%}" for size in found)] for name in (TEST, *READERS)]
    shown = [at for at, shift in enumerate(SHIFTS) if shift in (0.5, 1, 1.5, 2, 3, 4)]
    strictest, most = list(READERS)[-1], max(found)
    columns = [*((size, TEST) for size in found), (most, strictest)]
    power = [
        [f"{SHIFTS[at]:.1f}", f"{SHIFTS[at] * runs.deviation:.{digits}f}"]
        + [f"{found[size][test][at]:.0%}" for size, test in columns]
        for at in shown
    ]
    power_header = [
        "true difference in deviations",
        f"in {runs.measure.name}",
        *header[1:],
        f"{most} seeds, {strictest}",
    ]
    return "\n\n".join([title, markdown_table(header, wrong), markdown_table(power_header, power)])


def draw(everyone: Sequence[tuple[Scores, Rates]], path: Path) -> None:
    """The share of studies that find a difference over how large it is: a panel for each model."""
    from matplotlib import rc_context

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "power", "font.size": 9}):
        figure, panels = new_figure(1, len(everyone), figsize=(4.4 * len(everyone), 4), sharey=True, squeeze=False)
        for axes, (runs, found) in zip(panels[0], everyone):
            for number, size in enumerate(found):
                style = {"color": COLOURS[number], "marker": "osD"[number], "markersize": 3.5, "linewidth": 1.5}
                axes.plot(SHIFTS, found[size][TEST], label=f"{size} seeds an arm", **style)
            reader = next(iter(READERS))
            axes.plot(SHIFTS, found[SEEDS[0]][reader], color="0.5", linestyle="--", label=reader)
            axes.axhline(LEVEL, color="0.3", linewidth=0.8, linestyle=":")
            axes.axhline(0.8, color="0.3", linewidth=0.8, linestyle=":")
            axes.set_xlabel("true difference (standard deviations of the seeds)")
            axes.set_ylim(0, 1.02)
            axes.set_xlim(0, SHIFTS[-1])
            axes.grid(alpha=0.25)
            scales = partial(np.multiply, runs.deviation), partial(np.multiply, 1 / runs.deviation)
            above = axes.secondary_xaxis("top", functions=scales)
            above.set_xlabel(f"in {runs.measure.name} ({runs.name})")
        panels[0][0].set_ylabel("studies that find a difference")
        panels[0][0].set_yticks([0, 0.05, 0.2, 0.4, 0.6, 0.8, 1], ["0", "5 %", "20 %", "40 %", "60 %", "80 %", "100 %"])
        figure.tight_layout(rect=(0, 0.07, 1, 1))
        figure.legend(*panels[0][0].get_legend_handles_labels(), loc="lower center", ncols=4, frameon=False)
        save(figure, path)


def build_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scores", nargs="*", type=Path, metavar="SCORES.npz")
    parser.add_argument(
        "--studies", type=int, default=1000, metavar="N", help="for each number of seeds (default 1000)"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the drawing of studies (default 1)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw how often a true difference is found")
    parser.add_argument("--simulate", action="store_true", help="take scores with known parts")
    parser.add_argument("--runs", type=Path, metavar="DIR", help="folder with the folders of runs")
    parser.add_argument("--record", type=Path, metavar="FILE.npz", help="where to write their scores")
    parser.add_argument("--metric", choices=list(OF_SUMS), default="BLEU", help="of translations (default BLEU)")
    parser.add_argument("--subset", default="test", help="of the runs' data (default test)")
    return parser


def main() -> None:
    args = build_parser().parse_args()
    if args.simulate:
        print(simulated_table(args.studies, args.seed))
        return
    if (args.runs is None) != (args.record is None):
        sys.exit("calibrate_statistics.py: error: --runs and --record go together")
    try:
        if args.runs:
            record(args.runs, args.metric, args.subset, args.record)
        files = args.scores or ([args.record] if args.record else sorted(RECORDED.glob("*.npz")))
        everyone = [read_scores(path) for path in files]
    except (UserError, OSError) as error:
        sys.exit(f"calibrate_statistics.py: error: {error}")
    found = [(runs, rejections(runs, args.studies, args.seed, list(SHIFTS))) for runs in everyone]
    print("\n\n".join(tables(*one) for one in found))
    if args.plot:
        draw(found, args.plot)


if __name__ == "__main__":
    main()
