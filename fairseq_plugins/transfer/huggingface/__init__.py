"""RoBERTa in Hugging Face's format: a folder that ``transformers`` loads without this package, and the way back."""
