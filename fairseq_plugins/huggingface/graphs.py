"""Staged models as graphs of tensors alone, for ``torch.export`` and the runtimes that read what it gives.

A masked language model, a classifier and a causal language model are one graph. A translation model is two: its
encoder, and one step of its decoder, which reads what the encoder has kept of the source and what the steps before have
kept of themselves. A causal language model has such a step, too.

B sentences, S source positions, P past positions, N heads of keys, D their width, V symbols.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from fairseq_plugins.attention.decode.cache import NOT_REORDERED

from .cache import StagedCache
from .language_model import StagedForCausalLM
from .translation import StagedForTranslation

PADDING = "prev_key_padding_mask"
#: what an entry of a buffer is called in a graph
CALLED = {"prev_key": "key", "prev_value": "value"}
#: entries whose third dimension is that of positions
GROWING = ("prev_key", "prev_value")


@dataclass
class Graph:
    """A module of tensors, and what ``torch.export`` has to know of it.

    Args:
        module: takes and returns tensors.
        inputs: name -> an example.
        outputs: names.
        varying: name of an input -> its dimensions that vary -> what they are called.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: list[str]
    varying: dict[str, dict[int, str]] = field(default_factory=dict)

    def export(self) -> torch.export.ExportedProgram:
        """By ``torch.export``, for whatever sizes."""
        shapes = tuple(dict.fromkeys(self.varying[name], torch.export.Dim.AUTO) for name in self.inputs)
        with torch.no_grad():
            # the module takes any number of tensors
            return torch.export.export(self.module.eval(), tuple(self.inputs.values()), dynamic_shapes=(shapes,))

    def run(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the module returns, by names."""
        with torch.no_grad():
            return dict(zip(self.outputs, self.module(*(inputs[name] for name in self.inputs)), strict=True))


def graphs_of(model: nn.Module) -> dict[str, Graph]:
    """Name -> graph: ``model``; ``encoder`` and ``step`` of a translation model; ``step``, too, of a causal one."""
    if isinstance(model, StagedForTranslation):
        return {"encoder": _encoder(model), "step": _step(model)}
    found = {"model": _whole(model)}
    return {**found, "step": _step(model)} if isinstance(model, StagedForCausalLM) else found


class Whole(nn.Module):
    """A model without a past: ``input_ids``, ``attention_mask`` -> ``logits``."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.options = {"use_cache": False} if isinstance(model, StagedForCausalLM) else {}

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        input_ids, attention_mask = tensors
        return (self.model(input_ids=input_ids, attention_mask=attention_mask, **self.options).logits,)


class Source(nn.Module):
    """The encoder, and the keys and values that every layer of the decoder makes of what it gives."""

    def __init__(self, model: StagedForTranslation) -> None:
        super().__init__()
        self.model = model

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        input_ids, attention_mask = tensors
        memory = self.model.encoder(input_ids, attention_mask).last_hidden_state
        past = StagedCache()
        # what this step of the decoder computes beside is no output: no graph keeps it
        self.model.decoder(input_ids[:, :1], None, None, memory, ~attention_mask.bool(), past)
        return tuple(tensor for _, tensor in entries(past, "cross"))


class Step(nn.Module):
    """One step of a decoder: symbols, what is text so far, the source, the past -> logits, the past with the step."""

    def __init__(self, model: Any, names: Sequence[tuple[str, int, str]]) -> None:
        super().__init__()
        self.model, self.names = model, list(names)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        input_ids, attention_mask, *others = tensors
        source_mask = others.pop(0) if isinstance(self.model, StagedForTranslation) else None
        past, steps = StagedCache(), input_ids.size(1)
        past.seen = attention_mask.size(1) - steps
        for (site, layer, name), tensor in zip(self.names, others, strict=True):
            past.buffer(site, layer)[name] = tensor
        for (site, _), buffer in past.buffers.items():
            mask = source_mask if site == "cross" else attention_mask[:, :-steps]
            if "prev_key" in buffer and mask is not None:
                buffer[PADDING] = ~mask.bool()
        found = self.model.decoder(input_ids, attention_mask, past=past)
        kept = tuple(tensor for _, tensor in entries(past, "decoder"))
        return (self.model.decoder.logits(found.features), *kept)


def entries(past: StagedCache, site: str) -> list[tuple[tuple[str, int, str], Tensor]]:
    """(site, layer, name) and tensor of all that attention at a site keeps of its past but padding."""
    return [
        ((where, layer, name), tensor)
        for (where, layer), buffer in sorted(past.buffers.items())
        for name, tensor in sorted(buffer.items())
        if where == site and tensor is not None and name not in (*NOT_REORDERED, PADDING)
    ]


def _called(key: tuple[str, int, str]) -> str:
    site, layer, name = key
    return f"{site}.{layer}.{CALLED.get(name, name)}"


def _text(model: Any, positions: int) -> dict[str, Tensor]:
    """Two rows of example text, one of which is padded."""
    ids = torch.arange(2 * positions).view(2, positions) % 3 + 4
    mask = torch.ones_like(ids)
    ids[1, -1], mask[1, -1] = model.config.pad_token_id, 0
    return {"input_ids": ids, "attention_mask": mask}


def _whole(model: Any) -> Graph:
    inputs = _text(model, 9)
    varying = {name: {0: "batch", 1: "positions"} for name in inputs}
    return Graph(Whole(model), inputs, ["logits"], varying)


def _encoder(model: StagedForTranslation) -> Graph:
    inputs = _text(model, 9)
    past = StagedCache()
    with torch.no_grad():
        model(**inputs, decoder_input_ids=inputs["input_ids"][:, :1], cache=past, use_cache=True)
    names = [_called(key) for key, _ in entries(past, "cross")]
    return Graph(Source(model), inputs, names, {name: {0: "batch", 1: "source"} for name in inputs})


def _step(model: Any) -> Graph:
    """The past of an example is made by steps of the model itself."""
    translates = isinstance(model, StagedForTranslation)
    past, text = StagedCache(), _text(model, 9)
    begun = text["input_ids"][:, :3]
    with torch.no_grad():
        given = {**text, "decoder_input_ids": begun} if translates else {"input_ids": begun}
        model(**given, use_cache=True, **{"cache" if translates else "past_key_values": past})
    kept = [*entries(past, "decoder"), *entries(past, "cross")]
    inputs = {"input_ids": begun[:, :1], "attention_mask": torch.ones(2, 4, dtype=torch.long)}
    varying: dict[str, dict[int, str]] = {"input_ids": {0: "batch"}, "attention_mask": {0: "batch", 1: "positions"}}
    if translates:
        inputs["source_mask"], varying["source_mask"] = text["attention_mask"], {0: "batch", 1: "source"}
    for key, tensor in kept:
        name = _called(key) if key[0] == "cross" else f"past.{_called(key)}"
        inputs[name] = tensor.contiguous()
        length = {2: "source" if key[0] == "cross" else "past"} if key[2] in GROWING else {}
        varying[name] = {0: "batch", **length}
    outputs = ["logits", *(f"present.{_called(key)}" for key, _ in entries(past, "decoder"))]
    return Graph(Step(model, [key for key, _ in kept]), inputs, outputs, varying)
