"""From the folder of a port of fairseq's models, FSMT, XGLM or a staged one, to a checkpoint with the same weights."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairseq_plugins.attention.config import attention_options
from fairseq_plugins.checkpoints import Checkpoint, CheckpointError, Weights, building
from fairseq_plugins.checkpoints.probe import Expected, outputs, probe_of, running, steps_of
from fairseq_plugins.lines import PathLike
from fairseq_plugins.models.grid import VARIANTS, variant_options
from fairseq_plugins.transfer.exporter import Exporter

from .files import CONFIG, is_pickle, read_json
from .new_checkpoint import training_config
from .plain_export import FSMT, XGLM, PlainExporter
from .record_tokenizer import RecordTokenizing
from .running import transformers_package
from .staged_export import CLASSES, StagedExporter
from .tokenizer import Tokenizing

TASKS = {"roberta": "masked_lm", "transformer": "translation", "transformer_lm": "language_modeling"}
#: what only the staged model's configuration has
NO_OPTIONS = ("vocab_size", "decoder_vocab_size", "classifier_width", "classification_head", "use_cache")
#: the names that FSMT and XGLM share: fairseq's option -> theirs
SHARED = {
    "activation_fn": "activation_function",
    "dropout": "dropout",
    "attention_dropout": "attention_dropout",
    "activation_dropout": "activation_dropout",
}


@dataclass
class Read:
    """A folder in fairseq's terms.

    Attributes:
        family: of the model.
        options: of the model, by fairseq's names.
        weights: by fairseq's names.
        rows: of the source's and the target's dictionary.
        head: of a classifier, its name.
        classes, width: of that head.
    """

    family: str
    options: dict[str, Any]
    weights: Weights
    rows: tuple[int, int]
    head: str = ""
    classes: int = 0
    width: int | None = None


def import_ported(source: PathLike, target: PathLike, seed: int = 1) -> list[str]:
    """Write a model as a checkpoint of this package, with the same weights, bit by bit.

    Args:
        source: a folder that :func:`~.export.export_huggingface` or ``save_pretrained`` wrote.
        target: the checkpoint to write.
        seed: of the masked-LM head that a classifier does not have.

    Returns:
        Sentences about what was done.

    Raises:
        CheckpointError: the folder cannot be read, fairseq has no such model, or does not compute the same.
    """
    folder, target = Path(source), Path(target)
    if is_pickle(folder):
        raise CheckpointError(f"{folder}: no model.safetensors in it, from which alone such a model is imported")
    read = READERS[read_json(folder / CONFIG)["model_type"]](folder)
    arch = f"{read.family}_{_variant(read)}"
    task = ("--task", TASKS[read.family], "--criterion", "masked_lm" if read.family == "roberta" else "cross_entropy")
    cfg = training_config(task, arch, [], str(target.parent))
    options = cfg["model"] if isinstance(cfg["model"], Namespace) else Namespace(**cfg["model"])
    vars(options).update(read.options)
    cfg["model"] = options

    model = building.build(options, building.Vocabularies(*read.rows), seed)
    if read.head:
        model.register_classification_head(read.head, num_classes=read.classes, inner_dim=read.width)
    built = model.to(next(iter(read.weights.values())).dtype).state_dict()
    strange = [name for name, tensor in read.weights.items() if name not in built or built[name].shape != tensor.shape]
    if strange:
        raise CheckpointError(f"{folder}: fairseq's model has no place for {', '.join(strange[:3])}")
    state = {**built, **read.weights}
    if read.head and not options.untie_weights_roberta:
        state["encoder.lm_head.weight"] = state["encoder.sentence_encoder.embed_tokens.weight"]
    checkpoint = Checkpoint(str(folder), {"args": None, "cfg": cfg, "model": {}})
    checkpoint.begin_training(options, state)
    _check(folder, checkpoint, read)
    checkpoint.write(target)
    initialised = ["the masked-LM head is initialised: the folder has none"] if read.head else []
    return [*initialised, f"architecture {arch}"]


def _load(folder: Path, classes: Any) -> Any:
    """The model of a folder, in the type of its weights."""
    wanted = (read_json(folder / CONFIG).get("architectures") or [""])[0]
    if not hasattr(classes, wanted):
        raise CheckpointError(f"{folder}: {CONFIG} names the architecture {wanted!r}, which cannot be imported")
    with running(str(folder)):
        return getattr(classes, wanted).from_pretrained(folder, dtype="auto")


def _staged(folder: Path) -> Read:
    """A staged model, by this package's own code."""
    transformers_package()
    from fairseq_plugins import huggingface

    model = _load(folder, huggingface)
    config, weights = model.config, dict(model.state_dict())
    families = {cls: kind for kind, (_, cls, _) in CLASSES.items() if kind in TASKS}
    family = families.get(type(model).__name__, "roberta")
    names = [*(name for name in type(config).options if name not in NO_OPTIONS), *attention_options()]
    options = {name: getattr(config, name) for name in names}
    rows = (config.vocab_size, getattr(config, "decoder_vocab_size", config.vocab_size))
    read = Read(family, options, weights, rows)
    if family == "roberta":
        options["untie_weights_roberta"] = "encoder.lm_head.weight" in weights and not config.tie_word_embeddings
    if "classifier.dense.weight" in weights:
        read.head, read.classes, read.width = config.classification_head, config.num_labels, config.classifier_width
        place = f"classification_heads.{read.head}."
        read.weights = {name.replace("classifier.", place, 1): tensor for name, tensor in weights.items()}
    return read


def _fsmt(folder: Path) -> Read:
    model = _load(folder, transformers_package())
    config = model.config
    options = _shared(config)
    for side in ("encoder", "decoder"):
        options |= {
            f"{side}_layers": getattr(config, f"{side}_layers"),
            f"{side}_ffn_embed_dim": getattr(config, f"{side}_ffn_dim"),
            f"{side}_attention_heads": getattr(config, f"{side}_attention_heads"),
            f"{side}_layerdrop": getattr(config, f"{side}_layerdrop"),
            f"{side}_embed_dim": config.d_model,
        }
    weights = {name.removeprefix("model."): tensor for name, tensor in model.state_dict().items()}
    weights = {name: tensor for name, tensor in weights.items() if not name.endswith("embed_positions.weight")}
    output, words = weights["decoder.output_projection.weight"], weights["decoder.embed_tokens.weight"]
    options |= {
        "max_source_positions": config.max_position_embeddings,
        "max_target_positions": config.max_position_embeddings,
        "decoder_input_dim": config.d_model,
        "decoder_output_dim": config.d_model,
        "share_all_embeddings": bool(config.tie_word_embeddings),
        "share_decoder_input_output_embed": bool((output == words).all()),
    }
    return Read("transformer", options, weights, (config.src_vocab_size, config.tgt_vocab_size))


def _xglm(folder: Path) -> Read:
    model = _load(folder, transformers_package())
    config = model.config
    options = {
        **_shared(config),
        "decoder_layers": config.num_layers,
        "decoder_ffn_embed_dim": config.ffn_dim,
        "decoder_attention_heads": config.attention_heads,
        "decoder_layerdrop": config.layerdrop,
        "decoder_embed_dim": config.d_model,
        "decoder_input_dim": config.d_model,
        "decoder_output_dim": config.d_model,
        "decoder_normalize_before": True,
        "no_decoder_final_norm": False,
        "max_target_positions": config.max_position_embeddings,
        "share_decoder_input_output_embed": bool(config.tie_word_embeddings),
    }
    names = {"lm_head.weight": "decoder.output_projection.weight"}
    weights = {
        names.get(name, name.replace("model.", "decoder.", 1)): tensor for name, tensor in model.state_dict().items()
    }
    return Read("transformer_lm", options, weights, (config.vocab_size, config.vocab_size))


def _shared(config: Any) -> dict[str, Any]:
    options = {ours: getattr(config, theirs) for ours, theirs in SHARED.items()}
    return {**options, "no_scale_embedding": not config.scale_embedding}


READERS: dict[str, Callable[[Path], Read]] = {
    "staged_roberta": _staged,
    "staged_transformer": _staged,
    "staged_transformer_lm": _staged,
    "fsmt": _fsmt,
    "xglm": _xglm,
}


def _variant(read: Read) -> str:
    """The variant of the grid whose options the model has, the one of most options."""
    found = [
        variant
        for variant in VARIANTS
        if all(str(read.options.get(name)) == value for name, value in variant_options(read.family, variant).items())
    ]
    return max(found, key=lambda variant: len(variant_options(read.family, variant)))


def _check(folder: Path, checkpoint: Checkpoint, read: Read) -> None:
    """Check that fairseq computes from the checkpoint what ``transformers`` computes from the folder."""
    imported = building.load(checkpoint.called(f"{folder}: the imported model"))
    text = RecordTokenizing(checkpoint)
    exporter: Exporter = StagedExporter(checkpoint, read.head, Tokenizing(folder), text)
    if (read_json(folder / CONFIG).get("architectures") or [""])[0] in (FSMT, XGLM):
        exporter = PlainExporter(checkpoint, text)
    checkpoint.refuse(exporter.obstacles(imported))
    probe = probe_of(imported)
    ours = Expected.of(imported, lambda model: outputs(model, probe, str(folder)), steps_of(checkpoint.weights))
    ours.check(exporter.run(folder, probe), str(folder), "the imported model")
