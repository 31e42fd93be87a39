"""English constituency parsing as translation: trees, sequences, repair of what a model writes, EVALB's scores."""
