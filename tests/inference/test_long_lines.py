"""Lines that are longer than a model takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_plugins.inference.long_lines import parts


def words(text):
    return len(text.split()) + 1


@pytest.mark.parametrize(
    ("line", "limit", "expected"),
    [
        ("One. Two two! Three?", 99, [("One.", 0), ("Two two!", 0), ("Three?", 0)]),
        (
            'He said: "Go!" She went… (Fast.) So.',
            5,
            [('He said: "Go!"', 0), ("She went…", 0), ("(Fast.)", 0), ("So.", 0)],
        ),
        ("今日は。明日", 99, [("今日は。", 0), ("明日", 0)]),
        ("Ask M. Petit. Yes.", 99, [("Ask M. Petit.", 0), ("Yes.", 0)]),
        ("a b c d ee. f", 4, [("a b c", 1), ("d ee.", 1), ("f", 0)]),
    ],
)
def test_at_sentences_then_at_blanks(line, limit, expected):
    assert parts(line, words, limit) == expected


def test_words_and_scripts_without_blanks_at_any_character():
    assert parts("abcdefgh ij", len, 3) == [("abc", 2), ("def", 2), ("gh", 2), ("ij", 1)]


@given(st.text("ab .!。\u00a0é", max_size=60), st.integers(1, 7), st.sampled_from([len, words]))
def test_nothing_is_lost_and_every_part_fits(line, limit, length):
    found = parts(line, length, max(limit, length("a")))
    assert "".join("".join(part.split()) for part, _ in found) == "".join(line.split())
    assert all(length(part) <= max(limit, length("a")) for part, _ in found)
    assert all(part.strip() == part != "" for part, _ in found)
