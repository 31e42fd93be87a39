"""One system that translates: as ``fairseq-generate`` does it, or with CTranslate2."""

from __future__ import annotations

from ast import literal_eval
from typing import Any

import torch
from fairseq import checkpoint_utils, options, tasks, utils
from fairseq.dataclass.utils import convert_namespace_to_omegaconf

from fairseq_plugins.models.cache_size import CacheMeter

from .stepping import Stepping
from .worker import Memory

#: tokens without </s>, and the score
Hypothesis = tuple[list[str], float]


class Decoding(Stepping):
    """The batches of a test set, which are translated one a step.

    Args:
        words: of ``fairseq-generate``.
        threads, device, memory: see :class:`.stepping.Stepping`.
    """

    def __init__(self, words: list[str], threads: int, device: str, memory: Memory) -> None:
        super().__init__(threads, device, memory)
        parser = options.get_generation_parser()
        self.cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, words))
        if self.cfg.dataset.max_tokens is None and self.cfg.dataset.batch_size is None:
            self.cfg.dataset.max_tokens = 12000  # as fairseq-generate
        self.task = tasks.setup_task(self.cfg.task)

    def load_batches(self, max_positions: Any, task_cfg: Any = None) -> list[dict[str, Any]]:
        """The batches of ``--gen-subset`` on the device, as ``fairseq-generate`` makes them."""
        self.task.load_dataset(self.cfg.dataset.gen_subset, task_cfg=task_cfg)
        iterator = self.task.get_batch_iterator(
            dataset=self.task.dataset(self.cfg.dataset.gen_subset),
            max_tokens=self.cfg.dataset.max_tokens,
            max_sentences=self.cfg.dataset.batch_size,
            max_positions=max_positions,
            ignore_invalid_inputs=self.cfg.dataset.skip_invalid_size_inputs_valid_test,
            required_batch_size_multiple=self.cfg.dataset.required_batch_size_multiple,
            seed=self.cfg.common.seed,
        )
        batches = list(iterator.next_epoch_itr(shuffle=False))
        return [utils.move_to_cuda(batch) for batch in batches] if self.device == "cuda" else batches

    def translate(self, batch: dict[str, Any]) -> list[Hypothesis]:
        """The best hypothesis of every sentence."""
        raise NotImplementedError

    def run(self, batch: dict[str, Any]) -> dict[str, float]:
        """Translate: sentences, and output tokens, their </s> counted."""
        found = self.translate(batch)
        return {"sentences": len(found), "tokens": sum(len(tokens) + 1 for tokens, _ in found)}

    def gate(self) -> dict[str, Any]:
        """All hypotheses by their sentences' numbers, the peak of memory meanwhile, and the number of batches."""
        self.process_memory.forget_peak()
        found: dict[str, Hypothesis] = {}
        for batch in self.batches:
            found.update(zip(map(str, batch["id"].tolist()), self.translate(batch)))
        return {"hypotheses": found, "bytes": self.process_memory.peak(), "batches": len(self.batches)}


class FairseqDecoding(Decoding):
    """A checkpoint of fairseq or of the plugin, prepared and searched as ``fairseq_cli.generate`` does it."""

    def __init__(self, words: list[str], threads: int, device: str, memory: Memory) -> None:
        super().__init__(words, threads, device, memory)
        evaluation = self.cfg.common_eval
        self.models, saved = checkpoint_utils.load_model_ensemble(
            [evaluation.path], arg_overrides=literal_eval(evaluation.model_overrides), task=self.task
        )
        for model in self.models:
            if self.cfg.common.fp16:
                model.half()
            if device == "cuda":
                model.cuda()
            model.prepare_for_inference_(self.cfg)
        positions = [model.max_positions() for model in self.models]
        limits = utils.resolve_max_positions(self.task.max_positions(), *positions)
        self.batches = self.load_batches(limits, saved.task)
        self.generator = self.task.build_generator(
            self.models, self.cfg.generation, extra_gen_cls_kwargs={"lm_model": None, "lm_weight": 0.0}
        )

    def gate(self, renormalised: bool = False) -> dict[str, Any]:
        """As above; ``renormalised``: <pad> and a first </s> are taken out before the softmax, as in CTranslate2."""
        ensemble, pad, eos = self.generator.model, self.generator.pad, self.generator.eos
        forward_decoder = ensemble.forward_decoder

        def forward(tokens: torch.Tensor, *rest: Any) -> Any:
            log_probs, attention = forward_decoder(tokens, *rest)
            log_probs[:, [pad] if tokens.size(1) > 1 else [pad, eos]] = float("-inf")
            return log_probs.log_softmax(-1), attention

        if renormalised:
            ensemble.forward_decoder = forward
        try:
            return super().gate()
        finally:
            ensemble.forward_decoder = forward_decoder

    def profile(self) -> dict[str, Any]:
        """As above, and how large the caches of another batch became, which is not profiled."""
        decoder, batch = self.models[0].decoder, self.batches[0]
        forward, meter = decoder.forward, CacheMeter(decoder)

        def watched(tokens: torch.Tensor, *rest: Any, incremental_state: Any = None, **kwargs: Any) -> Any:
            found = forward(tokens, *rest, incremental_state=incremental_state, **kwargs)
            meter.watch(incremental_state, tokens.size(0), batch["net_input"]["src_tokens"].numel())
            return found

        decoder.forward = watched
        try:
            self.translate(batch)
        finally:
            del decoder.forward
        return {**super().profile(), "cache": str(meter.size())}

    def translate(self, batch: dict[str, Any]) -> list[Hypothesis]:
        found = self.task.inference_step(self.generator, self.models, batch)
        symbols = self.task.target_dictionary.symbols
        return [([symbols[n] for n in best["tokens"].tolist()[:-1]], best["score"].item()) for best, *_ in found]


class CTranslate2Decoding(Decoding):
    """A folder of ``export-ctranslate2`` with the batches of fairseq, one call each.

    Args:
        folder: of the exported model.
    """

    def __init__(self, words: list[str], threads: int, device: str, memory: Memory, folder: str) -> None:
        from fairseq_plugins.transfer.ctranslate2.search import load_translator

        super().__init__(words, threads, device, memory)
        self.translator = load_translator(folder, device=device, intra_threads=threads, inter_threads=1)
        self.batches = self.load_batches(self.task.max_positions())
        symbols = self.task.source_dictionary.symbols
        dataset = self.task.dataset(self.cfg.dataset.gen_subset)
        self.sentences = {
            number: [symbols[n] for n in dataset[number]["source"].tolist()[:-1]]
            for batch in self.batches
            for number in batch["id"].tolist()
        }

    def translate(self, batch: dict[str, Any]) -> list[Hypothesis]:
        from fairseq_plugins.transfer.ctranslate2.search import translate

        generation, length = self.cfg.generation, batch["net_input"]["src_tokens"].size(1)
        found = translate(
            self.translator,
            [self.sentences[number] for number in batch["id"].tolist()],
            beam=generation.beam,
            lenpen=generation.lenpen,
            max_len=int(generation.max_len_a * length + generation.max_len_b),
            batch_tokens=2 * batch["net_input"]["src_tokens"].numel(),
        )
        return [(hypothesis.tokens, hypothesis.score) for hypothesis in found]
