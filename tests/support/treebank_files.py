"""Trees with every quirk of the Penn Treebank, read, written, and as NLTK's."""

import gzip

from fairseq_plugins import cli
from fairseq_plugins.parsing.toy import layout
from fairseq_plugins.parsing.trees import parse

QUIRKS = r"""
( (S
    (NP-SBJ-1
      (NP (NNP Mr.) (NNP S&P) )
      (PRN (-LRB- -LRB-) (NP (CD 1\/2) (NN %)) (-RRB- -RRB-)))
    (VP (VBD gave)
      (NP=2 (-NONE- *T*-1) )
      (PRT|ADVP (RP up) ) (SBAR (-NONE- 0) (S (-NONE- *?*))))
    (. .) ))
( (NP (NP (NP (NN oil) ) )) )( (FRAG (: --) (`` ``) ('' '')) )
(TOP (S (NNP Yes)))
"""


def read(text):
    return list(parse(text.split("\n"), "some.mrg"))


def as_nltk(tree):
    """The same tree of NLTK's, whose import takes longer than that of all else."""
    from nltk import Tree

    return Tree(tree.label, [tree.word] if tree.word else [as_nltk(child) for child in tree.children])


def write(path, trees, compress=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(map(layout, trees)).encode()
    path.write_bytes(gzip.compress(text) if compress else text)


def command(module, *words):
    return cli.main([module.__name__.rpartition(".")[2].replace("_", "-"), *map(str, words)])
