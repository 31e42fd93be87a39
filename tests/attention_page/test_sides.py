"""Which tokens are one word, and how they are shown."""

import pytest

from fairseq_plugins.attention_page.sides import from_bytes, marks_of, side


@pytest.mark.parametrize(
    ("vocabulary", "pieces", "specials", "words", "labels"),
    [
        (
            ["the@@", "m", "@@"],
            ["a", "the@@", "m", "@@", "</s>"],
            "00001",
            [0, 1, 1, 2, 3],
            ["a", "them", "@@", "</s>"],
        ),
        (["▁the", "m"], ["▁", "the", "m", "▁a", "</s>"], "00001", [0, 0, 0, 1, 2], ["them", "a", "</s>"]),
        (["▁the", "m"], ["</s>", "m", "m", "<unk>", "m"], "10010", [0, 1, 1, 2, 3], ["</s>", "mm", "<unk>", "m"]),
        (["th", "##em"], ["[CLS]", "th", "##em", "##", "a"], "10000", [0, 1, 1, 1, 2], ["[CLS]", "them##", "a"]),
        (["th", "em</w>"], ["th", "em</w>", "a</w>", "</s>"], "0001", [0, 0, 1, 2], ["them", "a", "</s>"]),
        (["a", "b"], ["a", "b", "a"], "000", [0, 1, 2], ["a", "b", "a"]),
        (["a"], [], "", [], []),
    ],
)
def test_words(vocabulary, pieces, specials, words, labels):
    found = side(pieces, [flag == "1" for flag in specials], marks_of(vocabulary))
    assert list(found.words) == words
    assert found.labels() == labels


def test_punctuation():
    found = side(["▁Hi", ",", "▁...", "</s>", "▁x!", "€"], [False, False, False, True, False, False], "▁")
    assert found.punctuation() == [False, True, True, False, False, True]


def test_byte_level_tokens_are_shown_as_text():
    byte_of = {chr(byte): byte for byte in range(33, 127)} | {"Ġ": 32, "Ã": 0xC3, "©": 0xA9}
    shown = from_bytes(["Ġcaf", "Ã©", "Ã", "<s>x\u2603"], byte_of)
    assert shown == ["▁caf", "é", "\\xc3", "<s>x\u2603"]
