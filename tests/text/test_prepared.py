"""The plain text of a prepared corpus, and its words."""

from collections import Counter

import pytest
from recorded_text import ENGLISH, write_record

from fairseq_plugins.text.prepared import plain_lines, word_counts


@pytest.mark.parametrize(("pieces", "lower"), [("subword-nmt", False), ("sentencepiece", True)])
def test_it_is_as_the_model_has_it(pieces, lower, tmp_path):
    write_record(tmp_path, pieces).write(tmp_path / "text.json")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "train.en").write_text("".join(f"{line}\n" for line in ENGLISH), encoding="utf-8")
    expected = [line.lower() if lower else line for line in ENGLISH]
    assert list(plain_lines(tmp_path / "bin", "train", "en")) == expected
    counts = word_counts(tmp_path / "bin", "en", lambda line: line.replace(".", " ."))
    assert counts == Counter(word for line in expected for word in line.replace(".", " .").split())

    assert plain_lines(tmp_path / "bin", "test", "en") is None
    assert word_counts(tmp_path / "bin", "fr", str) is None
    (tmp_path / "text.json").unlink()
    assert plain_lines(tmp_path / "bin", "train", "en") is None
