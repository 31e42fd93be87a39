"""Where the trees lie and how they are split; the toy treebank; and the command that writes them as text."""

import pytest
from treebank_files import command, write

from fairseq_plugins.commands import treebank_prepare, treebank_toy
from fairseq_plugins.lines import CorpusError
from fairseq_plugins.parsing.linearise import delinearise, simplify
from fairseq_plugins.parsing.toy import generate, layout
from fairseq_plugins.parsing.treebank import read_treebank
from fairseq_plugins.parsing.trees import Tree, leaves, read_tree_lines, read_trees, words

TREES = generate(1, 60)
SIMPLE = [simplify(tree) for tree in TREES]


def write_sections(folder, pattern, sections):
    """A tree in each of two articles a section, the second article written first."""
    for index, section in enumerate(sections):
        for article in (1, 0):
            write(folder / pattern.format(section, article), [TREES[2 * index + article]], compress=article == 1)


def test_toy_treebank_is_awkward(tmp_path):
    assert command(treebank_toy, tmp_path / "toy.mrg", "--trees", 60) == 0
    assert read_trees(tmp_path / "toy.mrg") == TREES
    text = (tmp_path / "toy.mrg").read_text()
    for quirk in ("( \n", "(-NONE- *", "NP-SBJ ", "NP=1", "S-TPC-1", "(-LRB- -LRB-)", r"1\/2", "(`` ``)", "(SBAR "):
        assert quirk in text
    assert "(PRT|ADVP " in "".join(map(layout, generate(1, 400)))
    assert generate(1, 60) == TREES
    assert generate(2, 60) != TREES
    assert len({" ".join(words(tree)) for tree in TREES}) > 50


def test_a_sample_is_split_in_order(tmp_path):
    path = tmp_path / "sample.mrg.gz"
    write(path, TREES, compress=True)
    trees, origin = read_treebank(path, valid=10, test=20)
    assert trees == {"train": SIMPLE[:30], "valid": SIMPLE[30:40], "test": SIMPLE[40:]}
    assert origin == {"train": "trees 1-30", "valid": "trees 31-40", "test": "trees 41-60"}
    with pytest.raises(CorpusError, match="60 trees are too few for 40 to validate and 20 to test"):
        read_treebank(path, valid=40, test=20)


@pytest.mark.parametrize("names", [["wsj_0001.mrg", "wsj_0002.mrg", "wsj_0101.mrg"], ["a.mrg", "b.mrg.gz", "c/d.MRG"]])
def test_a_sample_in_files(names, tmp_path):
    for index, name in enumerate(names):
        write(tmp_path / name, TREES[20 * index : 20 * index + 20], compress=name.endswith("gz"))
    (tmp_path / "README").write_text("no trees")
    assert read_treebank(tmp_path, valid=10, test=20).trees["test"] == SIMPLE[40:]


@pytest.mark.parametrize(
    "pattern", ["wsj/{0:02}/wsj_{0:02}{1:02}.mrg", "wsj_{0:02}{1:02}.MRG", "{0:02}/WSJ_{0:02}{1:02}.mrg.gz"]
)
def test_sections(pattern, tmp_path):
    # 00, 01 and 24 are in no split
    write_sections(tmp_path, pattern, [*range(2, 25), 0, 1])
    trees, origin = read_treebank(tmp_path)
    assert trees == {"train": SIMPLE[:40], "valid": SIMPLE[40:42], "test": SIMPLE[42:44]}
    assert origin == {"train": "sections 02-21", "valid": "section 22", "test": "section 23"}


def test_sections_that_are_missing_or_twice(tmp_path):
    write_sections(tmp_path / "wsj", "{0:02}/wsj_{0:02}{1:02}.mrg", [*range(2, 7), *range(8, 23)])
    with pytest.raises(CorpusError, match=r"no wsj_0700.mrg or other article of section 07, 23;"):
        read_treebank(tmp_path)
    write_sections(tmp_path / "wsj", "{0:02}/wsj_{0:02}{1:02}.mrg", [7, 23])
    write(tmp_path / "combined" / "wsj_0301.mrg.gz", TREES[:1], compress=True)
    with pytest.raises(CorpusError, match=r"wsj_0301\.mrg.* is the same article; give a folder that holds each once"):
        read_treebank(tmp_path)


def test_what_is_no_treebank(tmp_path):
    with pytest.raises(CorpusError, match="none: no such file or folder"):
        read_treebank(tmp_path / "none")
    with pytest.raises(CorpusError, match="no bracketed files"):
        read_treebank(tmp_path)
    (tmp_path / "wsj_0001.mrg").write_text("( (S (NN x)) )\n( (S (NN x) )\n")
    with pytest.raises(CorpusError, match=r"wsj_0001\.mrg:2: the tree that begins here"):
        read_treebank(tmp_path)


def test_the_text_of_a_split_fits_together(tmp_path, capsys):
    source, out = tmp_path / "toy.mrg", tmp_path / "raw"
    write(source, [Tree("", (Tree("S", (Tree("-NONE-", word="*"),)),)), *TREES])  # one without words is left out
    assert command(treebank_prepare, source, "--out", out, "--valid", 10, "--test", 20) == 0
    assert "train: 30 trees (trees 1-30)" in capsys.readouterr().err
    for split, wanted in (("train", SIMPLE[:30]), ("valid", SIMPLE[30:40]), ("test", SIMPLE[40:])):
        trees = read_tree_lines(out / f"{split}.trees")
        assert trees == wanted
        sentences = (out / f"{split}.words").read_text().split("\n")[:-1]
        brackets = (out / f"{split}.brackets").read_text().split("\n")[:-1]
        assert [sentence.split() for sentence in sentences] == [words(tree) for tree in trees]
        assert [delinearise(line.split(), leaves(tree)) for line, tree in zip(brackets, trees)] == trees

    assert command(treebank_prepare, source, "--out", out, "--valid", 1, "--test", 20, "--smoke") == 0
    assert all(len(words(tree)) <= 40 for tree in read_tree_lines(out / "train.trees"))
    assert command(treebank_prepare, source, "--out", out) == 1
    assert "60 trees are too few" in capsys.readouterr().err
    assert command(treebank_prepare, source, "--out", source / "x", "--valid", 1, "--test", 1) == 1
    assert "choose another --out" in capsys.readouterr().err
