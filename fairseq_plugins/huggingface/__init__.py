"""Staged attention in ``transformers``: masked, causal and translation models. It needs torch and transformers alone.

Importing this package makes the models known to ``AutoConfig`` and the ``AutoModelFor...`` classes.
"""

from typing import Any

from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
)

from .configuration import StagedLanguageModelConfig, StagedRobertaConfig, StagedTranslationConfig
from .language_model import StagedForCausalLM
from .registered import register_with_transformers
from .roberta import StagedRobertaForMaskedLM, StagedRobertaForSequenceClassification
from .tokenization import RecordTokenizer
from .translation import StagedForTranslation

__all__ = [
    "RecordTokenizer",
    "StagedForCausalLM",
    "StagedForTranslation",
    "StagedLanguageModelConfig",
    "StagedRobertaConfig",
    "StagedRobertaForMaskedLM",
    "StagedRobertaForSequenceClassification",
    "StagedTranslationConfig",
    "register_with_transformers",
]

#: Auto class -> the model classes that it finds by their configurations
AUTO_CLASSES: dict[Any, Any] = {
    AutoModelForMaskedLM: StagedRobertaForMaskedLM,
    AutoModelForSequenceClassification: StagedRobertaForSequenceClassification,
    AutoModelForCausalLM: StagedForCausalLM,
    AutoModelForSeq2SeqLM: StagedForTranslation,
}

for _config in (StagedRobertaConfig, StagedLanguageModelConfig, StagedTranslationConfig):
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
for _auto, _model in AUTO_CLASSES.items():
    _auto.register(_model.config_class, _model, exist_ok=True)
