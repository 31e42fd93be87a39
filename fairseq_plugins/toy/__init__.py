"""A toy German-English corpus from our own grammar: :mod:`lexicon`, :mod:`grammar`, :mod:`generate`."""
