"""Results of studies nobody ran, in the shape that the writers of the report take."""

from __future__ import annotations

import math
import random
import statistics

NAMES = ("baseline", "neuralqkv", "symmetric", "pairwise", "valueaware", "talking heads", "top_r")
#: per task: kind of unit, metrics as (name, higher is better, digits, signature, a common score, its spread)
TASKS = {
    "translation": (
        "sentences",
        [
            ("BLEU", True, 2, "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0", 27.4, 0.22),
            ("chrF2", True, 2, "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0", 52.1, 0.15),
            ("TER", False, 2, "nrefs:1|case:lc|tok:tercom|norm:no|punct:yes|asian:no|version:2.6.0", 56.3, 0.3),
        ],
    ),
    "masked_lm": ("blocks", [("loss", False, 4, "nats a masked token, mask drawn with seed 1", 1.842, 0.006)]),
    "language_modeling": ("blocks", [("loss", False, 4, "nats a token, context of 1024", 3.142, 0.006)]),
    "glue": (
        "examples",
        [
            ("average", True, 2, "mean of the tasks", 81.2, 0.4),
            ("CoLA", True, 2, "Matthews correlation x 100", 54.2, 1.3),
            ("SST-2", True, 2, "accuracy, %", 92.3, 0.4),
            ("MRPC", True, 2, "F1, %", 88.1, 0.9),
            ("STS-B", True, 2, "Pearson correlation x 100", 87.4, 0.4),
            ("QNLI", True, 2, "accuracy, %", 90.2, 0.3),
            ("RTE", True, 2, "accuracy, %", 65.9, 1.8),
        ],
    ),
}
SENTENCES = [
    (
        "wir haben gestern lange über die neue regelung gesprochen .",
        "we talked about the new rule for a long time yesterday .",
        "we have long spoken about the new scheme yesterday .",
        "we talked about the new rules for a long time yesterday .",
    ),
    (
        "das ist nicht das , was ich erwartet hatte .",
        "that is not what i had expected .",
        "this is not what i expected .",
        "that is not what i had expected .",
    ),
    (
        "und dann sah sie mich an und sagte : „ geh nach hause “ .",
        'and then she looked at me and said , " go home . "',
        'and then she looked at me and said , " go home . "',
        'and then she saw me and said , " go to your house . "',
    ),
]


def spread(values):
    return {
        "per_seed": values,
        "mean": statistics.fmean(values),
        "deviation": statistics.stdev(values) if len(values) > 1 else None,
    }


def comparison(values, baseline, rng):
    """Plausible, not computed from units: the report prints it."""
    difference = statistics.fmean(values) - statistics.fmean(baseline)
    error = max(statistics.stdev(values), 1e-4) * rng.uniform(0.4, 0.9)
    p = math.erfc(abs(difference / error) / math.sqrt(2))
    return {
        "difference": difference,
        "low": difference - 2.3 * error,
        "high": difference + 2.3 * error,
        "p": p,
        "p_holm": min(1.0, 2 * p),
        "standard_error": error,
        "df": 6.3,
        "shares": {"seeds": 0.83, "units": 0.17},
        "detectable": 3.1 * error,
        "seeds_for_half": 17,
    }


def curve(rng, end, points):
    """Losses that fall towards ``end``."""
    return [
        [500 * (step + 1), end + 5 * math.exp(-step / 4) + 0.9 / (1 + step / 3) + rng.gauss(0, 0.012)]
        for step in range(points)
    ]


def buckets(rng, names, title, axis, value, labels, counts, start, step, higher=True, spread=0.3):
    return {
        "title": title,
        "axis": axis,
        "value": value,
        "higher_is_better": higher,
        "labels": labels,
        "counts": counts,
        "variants": {
            name: [
                start + step * place + 0.12 * abs(step) * number + rng.gauss(0, spread) for place in range(len(labels))
            ]
            for number, name in enumerate(names)
        },
    }


def tuning_of(rng, names, translation):
    grid = {"--dropout": [0.1, 0.2, 0.3], "--lr": [0.0003, 0.0005, 0.001]}
    variants = []
    for name in names:
        trials = []
        for dropout in grid["--dropout"]:
            for lr in grid["--lr"]:
                centre = 4.1 + 2 * (dropout - 0.22) ** 2 + 0.05 * abs(math.log(lr / 0.0006)) + rng.gauss(0, 0.006)
                losses = [centre + rng.gauss(0, 0.008) for _ in range(2)]
                options = {"--dropout": dropout, "--lr": lr}
                trials.append({"options": options, "per_seed": losses, "loss": sum(losses) / 2, "chosen": False})
        min(trials, key=lambda trial: trial["loss"])["chosen"] = True
        penalties = [
            {"value": value, "score": 28 - 2 * (value - 1.1) ** 2 + rng.gauss(0, 0.05), "ratio": 0.9 + value / 10}
            for value in (0.6, 0.8, 1.0, 1.2, 1.4)
        ]
        best = max(penalties, key=lambda one: one["score"])
        penalties = [{**one, "chosen": one is best} for one in penalties]
        variants.append({"name": name, "trials": trials, "length_penalty": penalties if translation else None})
    return {"seeds": [1, 2], "criterion": "validation loss", "grid": grid, "variants": variants}


def analysis_of(rng, task, names, sentences):
    by_frequency = ["never", "1-9", "10-99", "100-999", "1k-10k", "> 10k"]
    seen = [812, 2350, 7120, 15830, 29410, 51222]
    if task == "translation":
        others = names[1:]
        found = {
            "word_frequency": buckets(
                rng, names, "Words by their frequency in training", "occurrences in the training text", "F1",
                by_frequency, seen, 31.0, 9.0, spread=0.4,
            ),
            "source_length": buckets(
                rng, names, "Sentences by length", "words of the source", "BLEU",
                ["1-9", "10-19", "20-29", "30-39", "40-59", "60 +"], [1120, 2415, 1741, 902, 433, 139], 31.5, -1.6,
                spread=0.35,
            ),
            "ngrams": {
                name: {
                    "gained": [["for a long time", 14.2, 6.0], ["the new rule", 9.0, 3.4], ["had expected", 7.8, 2.0]],
                    "lost": [["looked at me", 3.0, 8.2], ["go home", 1.2, 4.8]],
                }
                for name in others
            },
            "sentences": {},
        }  # fmt: skip
        for name in others:
            found["sentences"][name] = [
                {
                    "number": 17 * place + 3,
                    "source": source,
                    "reference": reference,
                    "baseline": baseline,
                    "variant": variant,
                    "baseline_score": rng.uniform(20, 60),
                    "variant_score": rng.uniform(30, 90),
                }
                for place, (source, reference, baseline, variant) in enumerate((sentences * 20)[:20])
            ]
        return found
    if task == "glue":
        return {"tasks": None}
    return {
        "word_frequency": buckets(
            rng, names, "Tokens by their frequency in training", "occurrences in the training text", "nats a token",
            by_frequency, seen, 6.8, -0.9, higher=False, spread=0.02,
        ),
        "position": buckets(
            rng, names, "Tokens by their position", "position in the block", "nats a token",
            ["1-15", "16-63", "64-127", "128-255", "256-511"], [15000, 48000, 64000, 128000, 256000], 3.9, -0.18,
            higher=False, spread=0.01,
        ),
    }  # fmt: skip


def study_results(
    task="translation", variants=3, seeds=5, *, names=None, tuning=True, budget=True, analysis=True, missing=True,
    points=40, title=None, sentences=SENTENCES,
):  # fmt: skip
    """Results of ``variants`` models, the baseline among them; the last one lacks its last seed if ``missing``."""
    rng = random.Random(f"{task} {variants} {seeds}")
    names = list(names or [*NAMES, *(f"variant {number}" for number in range(8, 40))][:variants])
    unit, metrics = TASKS[task]
    all_seeds = list(range(1, seeds + 1))
    models, scores_of_baseline = [], {}
    for number, name in enumerate(names):
        there = all_seeds[:-1] if missing and number == len(names) - 1 and seeds > 1 else all_seeds
        scores = {}
        for metric, higher, _, _, common, width in metrics:
            better = (0.0, 2.6, 0.3, -1.2, 1.4)[number % 5] * width * (1 if higher else -1)
            scores[metric] = spread([common + better + rng.gauss(0, width) for _ in there])
        tested = number > 0 and len(there) > 1
        if number == 0:
            scores_of_baseline = scores
        against = {
            metric: comparison(scores[metric]["per_seed"], scores_of_baseline[metric]["per_seed"], rng)
            for metric in scores
        } if tested else None  # fmt: skip
        curves = [{"seed": seed, "points": curve(rng, 4.1 - 0.05 * (number % 5), points)} for seed in there]
        best = [min((loss for _, loss in one["points"]), default=4.1) for one in curves]
        word = name.replace(" ", "_")
        models.append(
            {
                "name": name,
                "arch": f"transformer_{word}",
                "options": [] if number == 0 else ["--mix-attention", word],
                "parameters": 36_741_120 + 12_288 * number,
                "operations": 1.0312e8 + 7.1e5 * number,
                "seeds": there,
                "scores": scores,
                "against_baseline": against,
                "why_no_test": None if tested or number == 0 else "one seed says nothing about the next one",
                "length_ratio": spread([0.984 + rng.gauss(0, 0.004) for _ in there]) if task == "translation" else None,
                "validation": spread(best),
                "curves": curves,
                "runs": [
                    {
                        "seed": seed,
                        "folder": f"runs/{name}-seed{seed}",
                        "updates": 500 * points,
                        "command": f"bash scripts/train.sh transformer_{word} --seed {seed} --save-dir 'runs/{name}'",
                    }
                    for seed in there
                ],
            }
        )
    others = names[1:]
    return {
        "format": 1,
        "title": title or f"Attention without a dot product: {task.replace('_', ' ')}",
        "question": "Does a neural map of query, key and value translate better at equal size?",
        "task": task,
        "baseline": names[0],
        "seeds": all_seeds,
        "test_set": {"name": "test", "units": unit, "count": 6750},
        "metrics": [
            {"name": name, "higher_is_better": higher, "digits": digits, "signature": text, "primary": place == 0}
            for place, (name, higher, digits, text, _, _) in enumerate(metrics)
        ],
        "variants": models,
        "verdict": {
            "headline": f"{others[0]} is better than {names[0]}; nothing is certain of the others."
            if seeds > 1
            else "One seed each: no difference can be told from chance.",
            "sentences": [
                f"{others[0]} gains over {names[0]} on {metrics[0][0]}, and the interval leaves zero out.",
                "The training seed accounts for most of the variance; more sentences would not narrow the intervals.",
            ],
        },
        "missing": [
            {
                "variant": names[-1],
                "seed": all_seeds[-1],
                "reason": "the loss became NaN at update 3200",
                "last_lines": [
                    "| INFO | train | gradient overflow detected, setting loss scale to 0.0001",
                    "FloatingPointError: Minimum loss scale reached (0.0001). Your loss is probably exploding.",
                ],
            }
        ]
        if missing
        else [],
        "control": {
            "budget": {
                "variants": {
                    model["name"]: {
                        "quantity": "parameters",
                        "to": models[0]["name"],
                        "target": 36_741_120.0,
                        "tolerance": 0.005,
                        "value": float(model["parameters"]),
                        "widths": {"encoder": 512 - 8 * number, "decoder": 512 - 8 * number},
                    }
                    for number, model in enumerate(models)
                    if number
                }
            }
            if budget
            else None,
            "data": {
                "same": True,
                "fingerprints": {str(seed): f"{rng.getrandbits(256):064x}" for seed in all_seeds},
                "updates": 500 * points,
            },
        },
        "tuning": tuning_of(rng, names, task == "translation") if tuning else None,
        "analysis": analysis_of(rng, task, names, sentences) if analysis else None,
        "provenance": {
            "versions": {"fairseq": "0.12.2", "fairseq_plugins": "0.9.0", "sacrebleu": "2.6.0", "torch": "2.8.0"},
            "machine": {"processor": "AMD EPYC 9354", "cores": 32, "gpus": ["NVIDIA H100 80GB HBM3"] * 2},
            "commit": "3f2a9c1d7e",
            "signatures": {name: text for name, _, _, text, _, _ in metrics},
            "threads": 8,
        },
    }


def study_times(results):
    """Times that fit the results."""
    rng = random.Random("times")
    return {
        "variants": {
            model["name"]: {
                "tokens_per_second": {"mean": 41230.0 - 1200 * number, "deviation": 310.5},
                "peak_memory": 7_412_000_000 + 90_000_000 * number,
                "seconds": {"per_seed": [3600 + 60 * number + rng.uniform(0, 90) for _ in model["seeds"]]},
            }
            for number, model in enumerate(results["variants"])
        },
        "wall_seconds": 61_234.5,
    }
