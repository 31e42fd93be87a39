"""From the folder of a staged model to a checkpoint: the way back of :mod:`.staged_export`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from fairseq_plugins.attention.config import attention_options
from fairseq_plugins.checkpoints import Checkpoint, CheckpointError, building
from fairseq_plugins.checkpoints.probe import Expected, outputs, probe_of, running, steps_of
from fairseq_plugins.lines import PathLike
from fairseq_plugins.models.grid import VARIANTS, variant_options

from .files import CONFIG, is_pickle, read_json
from .new_checkpoint import training_config
from .record_tokenizer import RecordTokenizing
from .running import transformers_package
from .staged_export import CLASSES, StagedExporter
from .tokenizer import Tokenizing

#: model_type of a folder -> the family
FAMILIES = {"staged_roberta": "roberta", "staged_transformer": "transformer", "staged_transformer_lm": "transformer_lm"}
TASKS = {"roberta": "masked_lm", "transformer": "translation", "transformer_lm": "language_modeling"}
#: what only the staged model's configuration has
NO_OPTIONS = ("vocab_size", "decoder_vocab_size", "classifier_width", "classification_head", "use_cache")


def import_staged(source: PathLike, target: PathLike, seed: int = 1) -> list[str]:
    """Write a staged model as a checkpoint of this package, with the same weights, bit by bit.

    Args:
        source: a folder that :func:`~.export.export_huggingface` or ``save_pretrained`` wrote.
        target: the checkpoint to write.
        seed: of the masked-LM head that a classifier does not have.

    Returns:
        Sentences about what was done.

    Raises:
        CheckpointError: the folder cannot be read, or fairseq does not compute the same.
    """
    folder, target = Path(source), Path(target)
    if is_pickle(folder):
        raise CheckpointError(f"{folder}: no model.safetensors in it, the only weights of a staged model")
    family = FAMILIES[read_json(folder / CONFIG)["model_type"]]
    staged = _load(folder)
    config, weights = staged.config, dict(staged.state_dict())
    head = ""
    if "classifier.dense.weight" in weights:
        head = config.classification_head
        weights = {name.replace("classifier.", f"classification_heads.{head}.", 1): weights[name] for name in weights}

    arch = f"{family}_{_variant(family, config)}"
    task = ("--task", TASKS[family], "--criterion", "masked_lm" if family == "roberta" else "cross_entropy")
    cfg = training_config(task, arch, [], str(target.parent))
    options = cfg["model"] if isinstance(cfg["model"], Namespace) else Namespace(**cfg["model"])
    names = [name for name in type(config).options if name not in NO_OPTIONS]
    for name in [*names, *attention_options()]:
        setattr(options, name, getattr(config, name))
    if family == "roberta":
        options.untie_weights_roberta = not config.tie_word_embeddings
    cfg["model"] = options

    rows = getattr(config, "decoder_vocab_size", config.vocab_size)
    model = building.build(options, building.Vocabularies(config.vocab_size, rows), seed)
    if head:
        width = config.classifier_width
        model.register_classification_head(head, num_classes=config.num_labels, inner_dim=width)
    state = {**model.to(next(iter(weights.values())).dtype).state_dict(), **weights}
    checkpoint = Checkpoint(str(folder), {"args": None, "cfg": cfg, "model": {}})
    checkpoint.begin_training(options, state)
    _check(folder, checkpoint, head)
    checkpoint.write(target)
    initialised = ["the masked-LM head is initialised: the folder has none"] if head else []
    return [*initialised, f"architecture {arch}"]


def _load(folder: Path) -> Any:
    """The staged model of a folder, of this package's own code, in the type of its weights."""
    transformers_package()
    from fairseq_plugins import huggingface

    wanted = (read_json(folder / CONFIG).get("architectures") or [""])[0]
    if wanted not in {cls for _, cls, _ in CLASSES.values()}:
        raise CheckpointError(f"{folder}: {CONFIG} names the architecture {wanted!r}, which is no staged model")
    with running(str(folder)):
        return getattr(huggingface, wanted).from_pretrained(folder, dtype="auto")


def _variant(family: str, config: Any) -> str:
    """The variant of the grid whose options the model has, the one of most options."""
    found = [
        variant
        for variant in VARIANTS
        if all(str(getattr(config, name, None)) == value for name, value in variant_options(family, variant).items())
    ]
    return max(found, key=lambda variant: len(variant_options(family, variant)))


def _check(folder: Path, checkpoint: Checkpoint, head: str) -> None:
    """Check that fairseq computes from the checkpoint what the staged model computes."""
    imported = building.load(checkpoint.called(f"{folder}: the imported model"))
    exporter = StagedExporter(checkpoint, head, Tokenizing(folder), RecordTokenizing(checkpoint))
    checkpoint.refuse(exporter.obstacles(imported))
    probe = probe_of(imported)
    ours = Expected.of(imported, lambda model: outputs(model, probe, str(folder)), steps_of(checkpoint.weights))
    ours.check(exporter.run(folder, probe), str(folder), "the imported model")
