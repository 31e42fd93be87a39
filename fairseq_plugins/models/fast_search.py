"""Beam search for ``--fast-inference``: fairseq's hypotheses, from fewer passes over the vocabulary.

B sentences that are still searched, K hypotheses of each, V words, S steps so far.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from fairseq import search
from fairseq.sequence_generator import SequenceGenerator
from fairseq.tasks import FairseqTask
from torch import Tensor

from fairseq_plugins.compat.registry import mark, marked

from .fixed_step import FixedStep, fits_fixed_step

#: words a chunk of :func:`largest_words`
CHUNK = 32

Hypotheses = list[list[dict[str, Tensor]]]


class FastBeamSearch(SequenceGenerator):
    """``fairseq.sequence_generator.SequenceGenerator`` for one model and plain beam search.

    fairseq's passes over the log-probabilities of all words five times a step: to replace NaN, to add the scores so
    far, to find the best of K * V. Here the best 2 K words of each hypothesis are found first, and what follows looks
    at them alone. The scores are sums of the same numbers.
    """

    def _generate(
        self,
        sample: dict[str, Any],
        prefix_tokens: Tensor | None = None,
        constraints: Tensor | None = None,
        bos_token: int | None = None,
    ) -> Hypotheses:
        net_input, beam = sample["net_input"], self.beam_size
        if constraints is not None or self.vocab_size <= 2 * beam:
            return super()._generate(sample, prefix_tokens, constraints, bos_token)
        source = net_input["src_tokens"]
        sentences, device = source.size(0), source.device
        longest = min(int(self.max_len_a * source.size(1) + self.max_len_b), self.max_len - 1)
        assert self.min_len <= longest, "min_len cannot be larger than max_len, please adjust these!"
        rows = torch.arange(sentences, device=device).repeat_interleave(beam)
        encoder_outs = self.model.reorder_encoder_out(self.model.forward_encoder(net_input), rows)
        state: dict[str, Any] = {}
        decoder = self.model.single_model.decoder
        followers = decoder.followers()
        fixes = bool(vars(decoder.cfg).get("cuda_graphs")) and fits_fixed_step(decoder)
        tokens = torch.full((rows.numel(), 1), self.eos if bos_token is None else bos_token, device=device)
        scores = torch.zeros(rows.numel(), 0, device=device)
        found: Hypotheses = [[] for _ in range(sentences)]
        numbers = list(range(sentences))
        fixed: FixedStep | None = None
        for step in range(longest + 1):
            if fixed is None:
                encoder_out = encoder_outs[0] if self.model.has_encoder() else None
                logits = decoder(tokens, encoder_out=encoder_out, incremental_state=state)[0][:, -1]
            else:
                logits = fixed(tokens[:, -1:], rows)
            log_probs = self._log_probs(logits, step == longest)
            prefixed = prefix_tokens is not None and step < min(prefix_tokens.size(1), longest)
            if prefixed:
                log_probs, tokens, scores = self._prefix_tokens(step, log_probs, scores, tokens, prefix_tokens, beam)
            else:
                self._forbid(step, log_probs)
            values, words, parents = self._candidates(log_probs, scores)
            ends = words.eq(self.eos) & values.ne(-math.inf)
            if bool(ends.any()):
                self._collect(found, numbers, ends[:, :beam], values, parents, tokens, scores)
                going = [place for place, number in enumerate(numbers) if len(found[number]) < beam]
                if step == longest or not going:
                    break
                if len(going) < len(numbers) and not fixes:
                    numbers = [numbers[place] for place in going]
                    kept = torch.tensor(going, device=device)
                    values, words, parents, ends = values[kept], words[kept], parents[kept], ends[kept]
                    prefix_tokens = None if prefix_tokens is None else prefix_tokens[kept]
                # the first that go on, in their order
                order = ends.to(torch.uint8).sort(dim=1, stable=True)[1]
                values, words, parents = (each.gather(1, order) for each in (values, words, parents))
            elif step == longest:
                break
            rows = parents[:, :beam].reshape(-1)
            tokens = torch.cat([tokens.index_select(0, rows), words[:, :beam].reshape(-1, 1)], dim=1)
            scores = torch.cat([scores.index_select(0, rows), values[:, :beam].reshape(-1, 1)], dim=1)
            if fixes:
                fixed = fixed or FixedStep(decoder, encoder_out, state, rows.numel(), longest + 1)
                continue
            decoder.reorder(state, rows, followers)
            encoder_outs = self.model.reorder_encoder_out(encoder_outs, rows)
        return [sorted(ranked, key=lambda one: -float(one["score"])) for ranked in found]

    def _log_probs(self, logits: Tensor, last: bool) -> Tensor:
        """(B * K, V), float32: of what may come next, whatever the options say of this step; ``last``: an end alone."""
        if self.temperature != 1:
            logits = logits / self.temperature
        log_probs = logits.log_softmax(-1, dtype=torch.float32)
        log_probs[:, self.pad] = -math.inf
        if self.unk_penalty:
            log_probs[:, self.unk] -= self.unk_penalty
        if last:
            end = log_probs[:, self.eos].clone()
            log_probs.fill_(-math.inf)
            log_probs[:, self.eos] = end
        return log_probs

    def _forbid(self, step: int, log_probs: Tensor) -> None:
        if step < self.min_len:
            log_probs[:, self.eos] = -math.inf
        if self.token_indices_to_suppress is not None:
            log_probs[:, self.token_indices_to_suppress] = -math.inf

    def _candidates(self, log_probs: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The best 2 K of each sentence, (B, 2 K) each: their scores, words, and the rows that they go on from."""
        beam, wanted = self.beam_size, 2 * self.beam_size
        firsts = torch.arange(0, log_probs.size(0), beam, device=log_probs.device)[:, None]
        if not scores.size(1):  # all hypotheses of a sentence are one
            values, words = largest_words(log_probs[::beam], wanted)
            return _without_nan(values), words, firsts.expand_as(words)
        values, words = largest_words(log_probs, wanted)
        values = _without_nan(values).add_(scores[:, -1:])
        values, places = values.view(-1, beam * wanted).topk(wanted)
        return (
            values,
            words.view(-1, beam * wanted).gather(1, places),
            places.div(wanted, rounding_mode="floor") + firsts,
        )

    def _collect(
        self,
        found: Hypotheses,
        numbers: list[int],
        ends: Tensor,
        values: Tensor,
        parents: Tensor,
        tokens: Tensor,
        scores: Tensor,
    ) -> None:
        """Add the hypotheses that end (B, K) to those that were found of each sentence, up to K."""
        places, candidates = ends.nonzero(as_tuple=True)
        rows, totals = parents[places, candidates], values[places, candidates, None]
        words = torch.cat([tokens.index_select(0, rows)[:, 1:], torch.full_like(rows, self.eos)[:, None]], dim=1)
        positional = torch.cat([scores.index_select(0, rows), totals], dim=1)
        positional[:, 1:] = positional[:, 1:] - positional[:, :-1]
        totals = totals[:, 0] / words.size(1) ** self.len_penalty if self.normalize_scores else totals[:, 0]
        nothing = torch.empty(0)
        for place, *one in zip(places.tolist(), words.unbind(), totals.unbind(), positional.unbind()):
            ranked = found[numbers[place]]
            if len(ranked) < self.beam_size:
                parts = dict(zip(("tokens", "score", "positional_scores"), one))
                ranked.append({**parts, "attention": nothing, "alignment": nothing})


def largest_words(log_probs: Tensor, wanted: int) -> tuple[Tensor, Tensor]:
    """``log_probs.topk(wanted)`` over the last of (R, V) in less time, where V is large.

    The largest are in the chunks with the largest maxima, as many as are wanted, and a maximum is found faster than an
    order.
    """
    rows, words = log_probs.shape
    chunks = words // CHUNK
    if chunks < 2 * wanted or log_probs.device.type != "cpu":
        return log_probs.topk(wanted)
    # word c + chunks * i is in chunk c, so that a maximum is of vectors
    whole = log_probs[:, : CHUNK * chunks].unflatten(1, (CHUNK, chunks))
    best = whole.amax(1).topk(wanted, sorted=False)[1]
    within = (best[:, None, :] + chunks * torch.arange(CHUNK)[:, None]).view(rows, -1)
    rest = torch.arange(CHUNK * chunks, words).expand(rows, -1)
    within = torch.cat([within, rest], dim=1)
    values, places = log_probs.gather(1, within).topk(wanted)
    return values, within.gather(1, places)


def _without_nan(values: Tensor) -> Tensor:
    return values.masked_fill_(values.isnan(), -math.inf)


def install() -> None:
    """Let the generators that fairseq's tasks build search as :class:`FastBeamSearch` where :func:`search_fast` can."""
    original = FairseqTask.build_generator
    if marked(original, "fast_search"):
        return

    def build_generator(self: Any, models: Any, args: Any, *rest: Any, **kwargs: Any) -> Any:
        generator = original(self, models, args, *rest, **kwargs)
        search_fast(generator)
        return generator

    FairseqTask.build_generator = mark(build_generator, original, "fast_search")


def search_fast(generator: Any) -> None:
    """Make a generator of fairseq a :class:`FastBeamSearch`, if its model is fast and its search a plain one."""
    if type(generator) is not SequenceGenerator or type(generator.search) is not search.BeamSearch:
        return
    ensemble = generator.model
    if ensemble.models_size != 1 or not ensemble.has_incremental_states() or generator.lm_model is not None:
        return
    decoder = ensemble.single_model.decoder
    fast = getattr(getattr(decoder, "cfg", None), "fast_inference", False) and not decoder.returns_attention
    if (
        fast
        and decoder.adaptive_softmax is None
        and not generator.match_source_len
        and not generator.repeat_ngram_blocker
    ):
        generator.__class__ = FastBeamSearch
