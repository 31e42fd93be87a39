"""Side-by-side measurements of stock fairseq and this plugin: ``scripts/benchmark.py``."""
