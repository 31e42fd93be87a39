"""Lines through an engine and back in their order."""

import pytest
from builders import save
from recorded_text import FRENCH, task_of, write_record

from fairseq_plugins.errors import UserError
from fairseq_plugins.inference.engine import Hypothesis, Settings
from fairseq_plugins.inference.generating import Translator
from fairseq_plugins.inference.job import Job, joined
from fairseq_plugins.inference.pool import Here

LINES = [FRENCH[0], "", FRENCH[3], " ".join(FRENCH * 2), "\u00a0", FRENCH[5], FRENCH[1]]


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("job")
    record = write_record(folder, "subword-nmt")
    save(folder / "model.pt", "transformer_baseline_tiny", task_of(record), noise=0.5, max_source_positions=30)
    words = ("--cpu", "--max-len-b", "12", "--no-repeat-ngram-size", "2", "--print-alignment", "--nbest", "2")
    return Settings((str(folder / "model.pt"),), record, words)


@pytest.fixture(scope="module")
def here(settings):
    return Here(Translator, settings)


def job(here, **options):
    record = here.engine.record
    return Job(here, record.encoder(), "text", **options)


def answered(work, lines, size):
    return [each for buffer in work.run(lines, size) for each in buffer]


@pytest.fixture(scope="module")
def alone(here):
    """The hypotheses of each line by itself."""
    return {line: answered(job(here), [line], 1)[0].hypotheses for line in LINES}


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_every_line_has_its_answer(here, alone, size):
    found = answered(job(here), LINES, size)
    assert [each.number for each in found] == list(range(1, len(LINES) + 1))
    for each, line in zip(found, LINES, strict=True):
        assert [one.text for one in each.hypotheses] == [one.text for one in alone[line]]
    assert [len(each.hypotheses) for each in found] == [2, 0, 2, 2, 0, 2, 2]


def test_a_long_line_has_the_answers_to_its_sentences(here):
    work = job(here)
    (long,) = answered(work, [LINES[3]], 10)
    (again,) = answered(work, [" ".join(FRENCH)], 10)
    assert work.cut == [1, 1]  # one of its sentences is too long itself
    sentences = answered(job(here), FRENCH, 10)
    assert here.limit == 30
    for rank in (0, 1):
        assert long.hypotheses[rank].text == " ".join(each.hypotheses[rank].text for each in sentences * 2)
        assert again.hypotheses[rank].text == " ".join(each.hypotheses[rank].text for each in sentences)
    assert work.ended == [1, 1]


def test_a_line_of_several_parts():
    """Scores are means over tokens; words are counted on."""
    one = Hypothesis("A b.", -1.0, 3, False, ((0, 1), (2, 0)), "x y z", "A b.")
    two = Hypothesis("C.", -2.0, 1, True, ((1, 0),), "v w", "C .")
    expected = Hypothesis("A b. C.", -1.25, 4, True, ((0, 1), (2, 0), (4, 2)), "x y z v w", "A b. C .")
    assert joined([one, two]) == expected
    assert joined([one]) == one


def test_lines_before_one_that_cannot_be_used_are_answered(here):
    buffers = job(here, split=False).run(LINES, 10)
    assert [each.number for each in next(buffers)] == [1, 2, 3]
    with pytest.raises(UserError, match=r"text:4: \d+ tokens, but the model takes 30 at most; shorten the line"):
        next(buffers)


def test_batches_of_one_length(here):
    work = job(here, equal_lengths=True, max_tokens=6)
    texts = ["a b", "c", "d e", "f g", "h", "i j k l m"]
    batches = work._batches(texts)
    assert sorted(number for batch in batches for number in batch) == list(range(len(texts)))
    assert all(len({len(texts[number].split()) for number in batch}) == 1 for batch in batches)
    assert max(len(batch) for batch in batches) == 2
    assert len(texts[batches[0][0]].split()) >= len(texts[batches[-1][0]].split())
