"""The one reader of dict.txt: what fairseq reads, and a sentence about what it cannot."""

import pytest
from fairseq.data import Dictionary

from fairseq_plugins.dictionary import load_dictionary, read_entries
from fairseq_plugins.lines import CorpusError


def test_it_reads_what_fairseq_reads(tmp_path):
    path = tmp_path / "dict.txt"
    path.write_text("the 10\n\u00e9 5\na\u00a0b 4\ntwo words 3\nthe 2 #fairseq:overwrite\n<unk> 1 #fairseq:overwrite\n")
    ours, theirs = load_dictionary(path), Dictionary.load(str(path))
    assert ours.symbols == theirs.symbols
    assert ours.count == theirs.count
    assert ours.indices == theirs.indices
    assert [entry.symbol for entry in read_entries(path)] == ["the", "\u00e9", "a\u00a0b", "two words", "the", "<unk>"]


@pytest.mark.parametrize(("text", "sentence"), [
    (b"a 1\nb\n", "dict.txt:2: not a symbol and its count"),
    (b"a 1\nb x\n", "dict.txt:2: not a symbol and its count"),
    (b"a 1\nb 2\na 3\n", "dict.txt:3: the symbol a for the second time"),
    (b"a 1\n\xdf 1\n", "dict.txt:2: byte 0xdf"),
    (None, "dict.txt: cannot be read"),
])  # fmt: skip
def test_what_is_no_dictionary_is_said(text, sentence, tmp_path):
    if text is not None:
        (tmp_path / "dict.txt").write_bytes(text)
    with pytest.raises(CorpusError, match=sentence):
        load_dictionary(tmp_path / "dict.txt")
