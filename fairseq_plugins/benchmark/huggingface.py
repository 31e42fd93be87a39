"""The same models in ``transformers``: Marian's class translates, ``Trainer`` takes RoBERTa's steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fairseq_plugins.transfer.huggingface.roberta_config import to_config
from fairseq_plugins.transfer.huggingface.roberta_names import correspondence
from fairseq_plugins.transfer.huggingface.running import transformers_package
from fairseq_plugins.transfer.huggingface.staged_export import SEARCH

from .peers import PeerDecoding
from .trainer import Training


class HuggingFaceDecoding(PeerDecoding):
    """``MarianMTModel`` with ``generate``; see :class:`.peers.PeerDecoding`."""

    with_scores = False

    def converted(self, original: Any) -> Any:
        return marian_of(original)

    def gate(self) -> dict[str, Any]:
        """As :meth:`.Decoding.gate`; scores, which take time and memory, are kept here alone."""
        self.with_scores = True
        try:
            return super().gate()
        finally:
            self.with_scores = False

    def search(self, sources: Tensor, text: Tensor, longest: int) -> tuple[list[list[int]], list[float]]:
        options = self.cfg.generation
        found = self.model.generate(
            input_ids=sources,
            attention_mask=text.long(),
            **{**SEARCH, "num_beams": options.beam, "length_penalty": options.lenpen, "max_new_tokens": longest},
            return_dict_in_generate=True,
            output_scores=self.with_scores,
        )
        scores = found.sequences_scores.tolist() if self.with_scores else [0.0] * len(sources)
        return found.sequences[:, 1:].tolist(), scores


def marian_of(model: Any) -> Any:
    """``MarianMTModel`` with the weights of stock fairseq's model of the ``transformer`` family, and its positions."""
    transformers = transformers_package()
    options, positions = model.cfg, model.encoder.embed_positions
    config = transformers.MarianConfig(
        encoder_layers=options.encoder.layers,
        decoder_layers=options.decoder.layers,
        encoder_attention_heads=options.encoder.attention_heads,
        decoder_attention_heads=options.decoder.attention_heads,
        d_model=options.decoder.embed_dim,
        encoder_ffn_dim=options.encoder.ffn_embed_dim,
        decoder_ffn_dim=options.decoder.ffn_embed_dim,
        vocab_size=len(model.decoder.dictionary),
        max_position_embeddings=options.max_source_positions,
        activation_function="relu",
        scale_embedding=not options.no_scale_embedding,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=None,
    )
    made = transformers.MarianMTModel(config)
    # Marian has the embeddings, the output and the positions besides by names of its own
    weights = {f"model.{name}": tensor for name, tensor in model.state_dict().items() if ".layers." in name}
    tokens = model.encoder.embed_tokens.weight
    length = 2 + options.max_source_positions
    table = positions.get_embedding(length, options.encoder.embed_dim, positions.padding_idx)[2:]
    for side in ("encoder", "decoder"):
        weights[f"model.{side}.embed_tokens.weight"] = tokens
        weights[f"model.{side}.embed_positions.weight"] = table
    weights |= {"model.shared.weight": tokens, "lm_head.weight": model.decoder.output_projection.weight}
    missing, unexpected = made.load_state_dict(weights, strict=False)
    if unexpected or set(missing) - {"final_logits_bias"}:
        raise ValueError(f"Marian has no {unexpected}, and of it {missing} are missing")
    return made


class HuggingFaceTraining(Training):
    """Stock fairseq's random RoBERTa as ``RobertaForMaskedLM``, an update of which is what ``Trainer`` does.

    Args: see :class:`.trainer.Training`, whose model, weights and batches these are.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        transformers = transformers_package()
        cfg, layers = self.trainer.cfg, self.model.encoder.args.encoder_layers
        self.names = correspondence(layers)
        embeddings, positions = (
            getattr(self.model.encoder.sentence_encoder, f"embed_{n}") for n in ("tokens", "positions")
        )
        config = to_config(self.model.encoder.args, len(embeddings.weight), len(positions.weight), 0, True, "float32")
        made = transformers.RobertaForMaskedLM(transformers.RobertaConfig(**config))
        ours = self.model.state_dict()
        made.load_state_dict({theirs: ours[name] for name, theirs in self.names.items()}, strict=False)
        made.roberta.embeddings.token_type_embeddings.weight.data.zero_()
        self.bf16 = bool(cfg.common.bf16)
        arguments = transformers.TrainingArguments(
            output_dir=cfg.checkpoint.save_dir,
            use_cpu=self.device == "cpu",
            bf16=self.bf16,
            learning_rate=1e-6,
            adam_beta2=0.98,
            max_grad_norm=1.0,
            report_to=[],
        )
        del self.model
        self.model = made.to(self.device)
        self.trainer = transformers.Trainer(model=self.model, args=arguments)
        self.trainer.create_optimizer()
        self.trainer.current_gradient_accumulation_steps = 1  # as its loop over a data set says

    def run(self, batch: dict[str, Any]) -> dict[str, float]:
        self.backward(batch)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.trainer.args.max_grad_norm)
        self.trainer.optimizer.step()
        self.model.zero_grad()
        return {"tokens": batch["ntokens"]}

    def backward(self, batch: dict[str, Any]) -> Tensor:
        """The mean loss of a batch, after ``Trainer.training_step``."""
        pad = self.task.source_dictionary.pad()
        labels = batch["target"].masked_fill(batch["target"].eq(pad), -100)
        loss: Tensor = self.trainer.training_step(
            self.model, {"input_ids": batch["net_input"]["src_tokens"], "labels": labels}
        )
        return loss

    def gate(self) -> dict[str, Any]:
        kept = {module: module.p for module in self.model.modules() if isinstance(module, torch.nn.Dropout)}
        for module in kept:
            module.p = 0.0
        loss = self.backward(self.batches[0])
        ours = {theirs: name for name, theirs in self.names.items()}
        gradients = {
            ours[name]: parameter.grad.double().norm().item()
            for name, parameter in self.model.named_parameters()
            if parameter.grad is not None and name in ours
        }
        self.model.zero_grad()
        for module, p in kept.items():
            module.p = p
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        return {"loss": loss.item(), "gradients": gradients, "parameters": parameters, "bf16": self.bf16}
