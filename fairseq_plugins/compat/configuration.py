"""Strings of a configuration that fairseq would run."""

from __future__ import annotations

import sys

from .registry import repair


@repair("none known")
def configuration_strings() -> bool:
    """fairseq passes strings of a checkpoint's configuration to ``eval``, ``adaptive_softmax_cutoff`` for one.

    So a checkpoint without any forbidden class could still run code when its model is built. The modules that do
    so see an ``eval`` that computes literals and arithmetic (``[(512, 3)] * 4``) and refuses names and calls.
    """
    import fairseq.models  # noqa: F401  imports all of the modules below

    from fairseq_plugins.checkpoints import safe_eval

    for name in _EVALUATING_MODULES:
        module = sys.modules.get(name)
        if module is not None:
            module.eval = safe_eval.evaluate  # type: ignore[attr-defined]
    return True


_EVALUATING_MODULES = (
    "fairseq.utils",
    "fairseq.criterions.ctc",
    "fairseq.data.audio.raw_audio_dataset",
    "fairseq.models.fconv",
    "fairseq.models.fconv_lm",
    "fairseq.models.fconv_self_att",
    "fairseq.models.hubert.hubert",
    "fairseq.models.lightconv_lm",
    "fairseq.models.speech_to_text.s2t_wav_transformer",
    "fairseq.models.transformer_lm",
    "fairseq.models.wav2vec.wav2vec",
    "fairseq.models.wav2vec.wav2vec2",
    "fairseq.optim.adafactor",
    "fairseq.optim.adam",
    "fairseq.optim.adamax",
    "fairseq.optim.cpu_adam",
    "fairseq.optim.fused_lamb",
)
