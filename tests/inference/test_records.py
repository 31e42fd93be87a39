"""Where the record of a model's text lies, and one that is not of the model."""

import shutil

import pytest
import torch
from builders import save
from recorded_text import task_of, write_record

from fairseq_plugins.errors import UserError
from fairseq_plugins.inference.records import find_record


@pytest.fixture
def corpus(tmp_path):
    """A prepared corpus, and a model whose checkpoint names it."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    record = write_record(folder, "subword-nmt")
    save(tmp_path / "model.pt", "transformer_baseline_tiny", task_of(record))
    state = torch.load(tmp_path / "model.pt", weights_only=False)
    state["cfg"]["task"]["data"] = str(folder / "bin")
    torch.save(state, tmp_path / "model.pt")
    return folder


def test_beside_the_checkpoint_or_with_the_data(corpus, tmp_path):
    model = str(tmp_path / "model.pt")
    assert find_record(None, model).folder == corpus
    find_record(None, model).copy(tmp_path / "text")
    assert find_record(None, model).folder == tmp_path / "text"
    for named in (corpus, corpus / "text.json"):
        assert find_record(str(named), model).folder == corpus
    shutil.rmtree(tmp_path / "text")
    shutil.rmtree(corpus)
    with pytest.raises(UserError, match=r"model\.pt: nothing tells what its text went through.*give --text DIR"):
        find_record(None, model)


@pytest.mark.parametrize("beside", [True, False])
def test_dictionaries_of_another_model(beside, corpus, tmp_path):
    """As large as its own: the weights would fit."""
    other = shutil.copytree(corpus, tmp_path / "other")
    for side in ("fr", "en"):
        path = other / "bin" / f"dict.{side}.txt"
        first, second, *rest = path.read_text().splitlines(keepends=True)
        path.write_text("".join([second, first, *rest]))
    text = (other / "text.json").read_text()
    for file in find_record(None, str(tmp_path / "model.pt")).dictionaries.values():
        text = text.replace(file.sha256, type(file).of(other, file.name).sha256)
    (other / "text.json").write_text(text)
    if beside:
        find_record(None, str(tmp_path / "model.pt")).copy(tmp_path / "text")
    with pytest.raises(UserError, match=r"other: has other dictionaries than .*model\.pt was trained with"):
        find_record(str(other), str(tmp_path / "model.pt"))
