"""Text before it is binarised: the layouts of corpora, cleaning, byte-level BPE, and the toy corpus."""
