"""Masks: fairseq's own fill_mask, and what it cannot do."""

import pytest
from builders import masked_lm_task, save
from fairseq.models.roberta.hub_interface import RobertaHubInterface

from fairseq_plugins.errors import UserError
from fairseq_plugins.inference.engine import Settings
from fairseq_plugins.inference.filling import MaskFiller


@pytest.fixture(scope="module")
def filler(byte_record, tmp_path_factory):
    task = masked_lm_task()
    task.dictionary = task.load_dictionary(str(byte_record.folder / "bin" / "dict.txt"))
    task.mask_idx = task.dictionary.add_symbol("<mask>")
    path = tmp_path_factory.mktemp("masks") / "model.pt"
    save(path, "roberta_neuralqkv_tiny", task, noise=0.5)
    return MaskFiller(Settings((str(path),), byte_record, ("--cpu", "--nbest", "4", "--beam", "4")))


class Bpe:
    """What the hub's interface takes, by the record."""

    def __init__(self, record):
        self.encode = record.pieces(record.source).load(record.folder).encode
        self.decode = record.decoder()


def test_the_likeliest_are_those_of_fairseq(filler, byte_record):
    hub = RobertaHubInterface(filler.cfg, filler.task, filler.model)
    hub.bpe = Bpe(byte_record)
    lines = ["The <mask> dog.", "a<mask>b", "<mask> runs", "One man and the <mask>"]
    encode = filler.encoder(byte_record)
    special = {symbol for symbol in filler.task.source_dictionary.symbols if not symbol.isdigit()}
    assert "madeupword0000" in special
    for line, found in zip(lines, filler.answer(list(map(encode, lines)), seed=1)):
        tokens = filler.task.source_dictionary.encode_line(f"<s> {encode(line)}", add_if_not_exist=False).long()
        values, indices = (
            hub.model(tokens[None])[0][0][tokens == filler.task.mask_idx][0].softmax(-1).sort(descending=True)
        )
        names = [filler.task.source_dictionary[index] for index in indices.tolist()]
        likeliest = [(name, value) for name, value in zip(names, values.tolist()) if name not in special][:4]
        assert [one.score for one in found] == pytest.approx([value for _, value in likeliest], rel=1e-4)
        if not special & set(names[:4]):  # of them fairseq makes no text, and takes the next one's in its place
            assert [one.text for one in found] == [text.strip() for text, _, _ in hub.fill_mask(line, topk=4)]


def test_several_masks_and_none(filler, byte_record):
    encode = filler.encoder(byte_record)
    (two,), (none,) = filler.answer([encode("<mask> dog <mask>"), encode("A man.")], seed=1)
    assert "<mask>" not in two.text
    assert " dog" in two.text
    assert 0 < two.score < 1
    assert none == (none._replace(text="A man.", score=1.0))


def test_text_of_other_pieces_is_refused(filler, byte_record, tmp_path):
    from recorded_text import write_record

    other = write_record(tmp_path, "sentencepiece")
    with pytest.raises(UserError, match=r"masks are filled in text of a byte-level BPE alone"):
        MaskFiller.encoder(other)
