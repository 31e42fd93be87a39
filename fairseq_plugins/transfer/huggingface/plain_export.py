"""Translation and causal language models as classes that ``transformers`` has itself: FSMT and XGLM.

Both are ports of fairseq's models, with its names for parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairseq_plugins.checkpoints import Checkpoint, Weights, building
from fairseq_plugins.checkpoints.checkpoint import UNUSED
from fairseq_plugins.checkpoints.options import get_option
from fairseq_plugins.checkpoints.probe import LOGITS, PAD, Outputs, Probe, Steps, outputs, running, steps_of
from fairseq_plugins.models.grid import is_ours
from fairseq_plugins.transfer.fold import fold_obstacles, fold_weights

from .files import CONFIG, write_json, write_weights
from .record_tokenizer import RecordTokenizing
from .running import load
from .staged_config import to_options, wrong_options
from .staged_export import SEARCH

FSMT, XGLM = "FSMTForConditionalGeneration", "XGLMForCausalLM"
#: class -> what its models are: fairseq's option -> the only value that it has there
REQUIRED: dict[str, dict[str, Any]] = {
    FSMT: {
        "encoder_normalize_before": False,
        "decoder_normalize_before": False,
        "encoder_learned_pos": False,
        "decoder_learned_pos": False,
        "layernorm_embedding": False,
        "no_token_positional_embeddings": False,
        "sinusoidal_positions": "fairseq",
        "decoder_start_symbol": "eos",
        "output_bias": False,
    },
    XGLM: {
        "decoder_normalize_before": True,
        "no_decoder_final_norm": False,
        "decoder_learned_pos": False,
        "layernorm_embedding": False,
        "no_token_positional_embeddings": False,
    },
}
#: activations that both sides compute alike, by fairseq's names
ACTIVATIONS = ("relu", "gelu", "tanh")
SPECIAL = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}


@dataclass
class PlainExporter:
    """See :class:`~fairseq_plugins.transfer.exporter.Exporter`; what needs it is folded.

    Args:
        checkpoint: of a translation or causal language model, stock or of this package.
        text: the tokenizer to write, if any.
    """

    checkpoint: Checkpoint
    text: RecordTokenizing
    exported: Weights = field(init=False)

    @property
    def result(self) -> str:
        return f"the {self.kind} of transformers"

    @property
    def kind(self) -> str:
        """The class of ``transformers``."""
        return FSMT if building.family_of(self.checkpoint.architecture) == "transformer" else XGLM

    @property
    def steps(self) -> Steps:
        return steps_of(self.exported)

    def obstacles(self, model: Any) -> list[str]:
        found = fold_obstacles(self.checkpoint) if is_ours(self.checkpoint.architecture) else []
        found += wrong_options(model)
        if found:
            return found
        options = to_options(model)
        required = REQUIRED[self.kind]
        found = [f"{name} is {options[name]}" for name, value in required.items() if options.get(name, value) != value]
        if options["activation_fn"] not in ACTIVATIONS:
            found.append(f"activation_fn is {options['activation_fn']}")
        sides = ("encoder", "decoder") if self.kind == FSMT else ("decoder",)
        widths = {options[f"{side}_embed_dim"] for side in sides}
        widths |= {options["decoder_input_dim"], options["decoder_output_dim"]}
        if len(widths) > 1:
            found.append(f"widths of {', '.join(map(str, sorted(widths)))}")
        return [f"{self.kind} has no such option: {reason}" for reason in found]

    def write(self, folder: Path) -> list[str]:
        checkpoint = self.checkpoint.model_part()
        model = building.load(checkpoint)
        options = to_options(model)
        weights = {n: t.to(checkpoint.dtype) for n, t in model.state_dict().items() if not n.endswith(UNUSED)}
        folded = fold_weights(weights, model.decoder.cfg) if is_ours(checkpoint.architecture) else []
        config = {"architectures": [self.kind], **SPECIAL, "torch_dtype": str(checkpoint.dtype).replace("torch.", "")}
        if self.kind == FSMT:
            self.exported = {f"model.{name}": tensor.clone() for name, tensor in weights.items()}
            config |= self._fsmt(options)
        else:
            names = {"decoder.output_projection.weight": "lm_head.weight"}
            theirs = {name: names.get(name, name.replace("decoder.", "model.", 1)) for name in weights}
            self.exported = {theirs[name]: tensor.clone() for name, tensor in weights.items()}
            config |= self._xglm(options)
        write_weights(self.exported, folder)
        write_json(config, folder / CONFIG)
        if self.kind == FSMT:
            write_json({**SPECIAL, **SEARCH}, folder / "generation_config.json")
        rows = (options["vocab_size"], options.get("decoder_vocab_size", options["vocab_size"]))
        notes = [f"folded attention in {len(folded)} modules"] if folded else []
        return [*notes, *self.text.write(folder, rows, options["max_target_positions"]), self.kind]

    def _fsmt(self, options: dict[str, Any]) -> dict[str, Any]:
        task = self.checkpoint.task_options
        languages = [get_option(task, side) or side for side in ("source_lang", "target_lang")]
        sides = {
            f"{side}_{theirs}": options[f"{side}_{ours}"]
            for side in ("encoder", "decoder")
            for theirs, ours in (
                ("layers", "layers"),
                ("ffn_dim", "ffn_embed_dim"),
                ("attention_heads", "attention_heads"),
                ("layerdrop", "layerdrop"),
            )
        }
        return {
            "model_type": "fsmt",
            "langs": languages,
            "src_vocab_size": options["vocab_size"],
            "tgt_vocab_size": options["decoder_vocab_size"],
            "d_model": options["decoder_embed_dim"],
            "max_position_embeddings": max(options["max_source_positions"], options["max_target_positions"]),
            "tie_word_embeddings": options["share_all_embeddings"],
            "is_encoder_decoder": True,
            **sides,
            **_common(options),
        }

    def _xglm(self, options: dict[str, Any]) -> dict[str, Any]:
        return {
            "model_type": "xglm",
            "vocab_size": options["vocab_size"],
            "d_model": options["decoder_embed_dim"],
            "num_layers": options["decoder_layers"],
            "ffn_dim": options["decoder_ffn_embed_dim"],
            "attention_heads": options["decoder_attention_heads"],
            "layerdrop": options["decoder_layerdrop"],
            "max_position_embeddings": options["max_target_positions"],
            "tie_word_embeddings": options["share_decoder_input_output_embed"],
            **_common(options),
        }

    def original(self, model: Any, probe: Probe) -> Outputs:
        return outputs(model, probe, self.checkpoint.name)

    def run(self, folder: Path, probe: Probe) -> Outputs:
        name = f"{self.checkpoint.name}: {self.result}"
        # FSMT makes masks that float64 cannot have; its rounding is that of the original in float32
        model, sources = load(folder, self.kind, name).float(), probe.inputs["src_tokens"]
        given = {"input_ids": sources, "attention_mask": sources.ne(PAD).long(), "use_cache": False}
        if self.kind == FSMT:
            given["decoder_input_ids"] = probe.inputs["prev_output_tokens"]
        with running(name):
            return {LOGITS: model(**given).logits[probe.text]}


def _common(options: dict[str, Any]) -> dict[str, Any]:
    """Options that both classes have, by their names."""
    same = ("dropout", "attention_dropout", "activation_dropout")
    return {
        "activation_function": options["activation_fn"],
        "scale_embedding": not options["no_scale_embedding"],
        **{name: options[name] for name in same},
    }
