"""From any checkpoint of the three families to a folder of a staged model, with the code that runs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairseq_plugins.checkpoints import Checkpoint, Weights, building
from fairseq_plugins.checkpoints.probe import LOGITS, Outputs, Probe, Steps, of_head, outputs, running, steps_of

from .code import MODELS, file_name, write_code
from .files import CONFIG, read_json, write_json
from .record_tokenizer import RecordTokenizing
from .running import transformers_package
from .staged_config import to_options, to_weights, wrong_options
from .tokenizer import Tokenizing

#: as fairseq-generate searches: beam 5, to 200 words and </s>, never <pad>
SEARCH = {
    "num_beams": 5,
    "early_stopping": True,
    "length_penalty": 1.0,
    "max_new_tokens": 201,
    "min_new_tokens": 1,
    "suppress_tokens": [1],
    "decoder_start_token_id": 2,
}
#: what is exported -> its module, its class, and the Auto class that finds it
CLASSES = {
    "masked LM": ("roberta", "StagedRobertaForMaskedLM", "AutoModelForMaskedLM"),
    "classifier": ("roberta", "StagedRobertaForSequenceClassification", "AutoModelForSequenceClassification"),
    "transformer_lm": ("language_model", "StagedForCausalLM", "AutoModelForCausalLM"),
    "transformer": ("translation", "StagedForTranslation", "AutoModelForSeq2SeqLM"),
}


@dataclass
class StagedExporter:
    """See :class:`~fairseq_plugins.transfer.exporter.Exporter`.

    Args:
        checkpoint: of any of the families, stock or of this package.
        head: of a roberta, which classification head; empty for the masked language model.
        words, text: the tokenizer to write, if any: of a roberta, and of the others.
    """

    checkpoint: Checkpoint
    head: str
    words: Tokenizing
    text: RecordTokenizing
    exported: Weights = field(init=False)
    kind: str = field(init=False)

    @property
    def result(self) -> str:
        return "the staged model of transformers"

    @property
    def steps(self) -> Steps:
        return steps_of(self.exported)

    def obstacles(self, model: Any) -> list[str]:
        family = building.family_of_class(type(model))
        if not family:
            return [f"it is a {self.checkpoint.architecture}: transformer, roberta and transformer_lm can be exported"]
        self.kind = family if family != "roberta" else "classifier" if self.head else "masked LM"
        found = wrong_options(model)
        return found or self._without_place(model)

    def _without_place(self, model: Any) -> list[str]:
        """Parameters that a staged model has not, or in another shape."""
        weights, made = to_weights(model, self.head), self.build(model).state_dict()
        extra = [name for name in weights if name not in made or made[name].shape != weights[name].shape]
        missing = [name for name in made if name not in weights]
        return [
            f"a staged model of transformers has {what} {', '.join(names[:3])}{' ...' * (len(names) > 3)}"
            for what, names in (("no place for the parameter", extra), ("a parameter more,", missing))
            if names
        ]

    def build(self, model: Any) -> Any:
        """The staged model with the original's weights, as far as it has their places."""
        transformers_package()
        from fairseq_plugins import huggingface

        cls = getattr(huggingface, CLASSES[self.kind][1])
        made = cls(cls.config_class(**to_options(model, self.head)))
        places = made.state_dict()
        same = {n: t for n, t in to_weights(model, self.head).items() if n in places and places[n].shape == t.shape}
        made.load_state_dict(same, strict=False)
        return made

    def write(self, folder: Path) -> list[str]:
        model = building.load(self.checkpoint.model_part())
        made = self.build(model).to(self.checkpoint.dtype)
        self.exported = made.state_dict()
        module, cls, auto = CLASSES[self.kind]
        if self.kind == "transformer":
            symbols = {name: getattr(made.config, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
            made.generation_config = made.generation_config.__class__(**SEARCH, **symbols)
        made.save_pretrained(folder)
        config = read_json(folder / CONFIG)
        names = {"AutoConfig": f"configuration.{type(made.config).__name__}", auto: f"{module}.{cls}"}
        config["auto_map"] = {key: f"{file_name(MODELS)}_{value}" for key, value in names.items()}
        write_json(config, folder / CONFIG)
        write_code(folder, tuple(f"{MODELS}.{part}" for part in ("configuration", module)))
        return [
            *self.write_tokenizer(folder, made.config),
            f"{cls} with its code: load it with {auto} and trust_remote_code=True",
        ]

    def write_tokenizer(self, folder: Path, config: Any) -> list[str]:
        """Write the tokenizer of a model of this configuration; returns sentences about it."""
        if self.kind in ("masked LM", "classifier"):
            return self.words.write(folder, config.vocab_size, config.max_positions)
        rows = (config.vocab_size, getattr(config, "decoder_vocab_size", config.vocab_size))
        return self.text.write(folder, rows, config.max_position_embeddings)

    def original(self, model: Any, probe: Probe) -> Outputs:
        return outputs(model, probe, self.checkpoint.name)

    def run(self, folder: Path, probe: Probe) -> Outputs:
        from fairseq_plugins import huggingface

        name = f"{self.checkpoint.name}: {self.result}"
        with running(name):
            model = getattr(huggingface, CLASSES[self.kind][1]).from_pretrained(folder).double().eval()
            if self.kind == "transformer":
                given = probe.inputs
                found = model(given["src_tokens"], decoder_input_ids=given["prev_output_tokens"]).logits
            else:
                found = model(probe.inputs["src_tokens"]).logits
        if self.kind == "classifier":
            return {of_head(self.head): found}
        return {LOGITS: found[probe.text]}
