"""The model card of an exported folder: what the model is, what it was trained on, and what was measured of it."""

from __future__ import annotations

import json
from pathlib import Path

from fairseq_plugins.attention.config import StageOptions
from fairseq_plugins.checkpoints import Checkpoint, Weights
from fairseq_plugins.checkpoints.checkpoint import UNUSED
from fairseq_plugins.checkpoints.options import get_option
from fairseq_plugins.report.tables import markdown_table

from .files import CONFIG, read_json

#: ending of a class -> how the hub calls what it does, and its Auto class
KINDS = {
    "ForMaskedLM": ("fill-mask", "AutoModelForMaskedLM"),
    "ForSequenceClassification": ("text-classification", "AutoModelForSequenceClassification"),
    "ForCausalLM": ("text-generation", "AutoModelForCausalLM"),
    "ForTranslation": ("translation", "AutoModelForSeq2SeqLM"),
    "ForConditionalGeneration": ("translation", "AutoModelForSeq2SeqLM"),
}


def write_card(folder: Path, checkpoint: Checkpoint) -> None:
    """Write ``README.md``; its licence is left to whoever publishes the model."""
    config = read_json(folder / CONFIG)
    cls = config["architectures"][0]
    task, auto = next(kind for ending, kind in KINDS.items() if cls.endswith(ending))
    code = ", trust_remote_code=True" if "auto_map" in config else ""
    attention = {name: getattr(checkpoint.options, name, None) for name in vars(StageOptions())}
    chosen = {name: value for name, value in attention.items() if value not in (None, getattr(StageOptions(), name))}
    facts = [
        ["class", cls],
        ["architecture in fairseq", checkpoint.architecture],
        ["attention", ", ".join(f"{name} {value}" for name, value in chosen.items()) or "by the architecture"],
        ["parameters", f"{_parameters(checkpoint.weights):,}"],
        ["training data", _data(checkpoint)],
        ["updates", f"{_updates(checkpoint):,}"],
    ]
    scores = _scores(Path(checkpoint.name).parent)
    lines = [
        "---",
        "# license: yours to say",
        "library_name: transformers",
        f"pipeline_tag: {task}",
        "---",
        "",
        f"# {checkpoint.architecture}",
        "",
        markdown_table(["", ""], facts),
        "",
        "```python",
        f"from transformers import {auto}",
        "",
        f'model = {auto}.from_pretrained("FOLDER"{code})',
        "```",
    ]
    if scores:
        lines += ["", "## Scores", "", markdown_table(["set", "sentences", "metric", "score", "signature"], scores)]
    (folder / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _parameters(weights: Weights) -> int:
    """How many numbers; a matrix with two names counts once."""
    own = {tensor.data_ptr(): tensor for name, tensor in weights.items() if not name.endswith(UNUSED)}
    return sum(tensor.numel() for tensor in own.values())


def _data(checkpoint: Checkpoint) -> str:
    """The name of the folder that holds the data."""
    path = Path(str(get_option(checkpoint.task_options, "data") or ""))
    return (path.parent.name if path.name == "bin" else path.name) or "not known"


def _updates(checkpoint: Checkpoint) -> int:
    return int((checkpoint.state.get("optimizer_history") or [{}])[-1].get("num_updates") or 0)


def _scores(run: Path) -> list[list[str]]:
    """A row for each score of the run's translations: ``gen.SET/score.json``."""
    rows = []
    for path in sorted(run.glob("gen.*/score.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        for metric in found["metrics"].values():
            signature = f"`{metric['signature']}`"
            name, sentences = path.parent.name.removeprefix("gen."), str(found["sentences"])
            rows.append([name, sentences, metric["name"], str(metric["score"]), signature])
    return rows
