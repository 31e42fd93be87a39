"""Trained weights from one model to another: folding, warm starts, Hugging Face's RoBERTa and Marian, CTranslate2."""
