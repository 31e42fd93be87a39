"""Side-by-side measurements of stock fairseq and this plugin: ``scripts/benchmark.py``."""

import fairseq_plugins.models  # noqa: F401  its repairs and registration come before fairseq's own modules
