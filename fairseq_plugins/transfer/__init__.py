"""Trained weights from one model to another: folding, warm starts, Hugging Face's RoBERTa and Marian, CTranslate2."""

import fairseq_plugins.models  # noqa: F401  its repairs and registration come before fairseq's own modules
