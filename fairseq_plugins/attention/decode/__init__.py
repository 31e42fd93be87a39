"""Incremental decoding: what attention keeps of the past, and how it follows beam search."""
