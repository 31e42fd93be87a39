"""Trained weights from one model to another: folding, warm starts, and Hugging Face's RoBERTa."""
