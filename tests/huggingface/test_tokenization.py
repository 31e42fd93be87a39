"""Raw text through an exported folder: the pieces, ids and plain text of this package's own translation."""

import json
import subprocess
import sys

import pytest
import torch
from builders import save
from recorded_text import ENGLISH, FRENCH, task_of, write_record

from fairseq_plugins import cli
from fairseq_plugins.inference.engine import Settings
from fairseq_plugins.inference.generating import Translator

HOSTILE = ["", "  Deux\tmots  ", "<s> </s> <unk> & <b>", "🙂 東京 naïve", "l' l@@ a"]


@pytest.fixture(scope="module", autouse=True)
def _imported():
    """Not by the file itself, which every worker collects: that takes seconds."""
    global huggingface
    pytest.importorskip("transformers")
    huggingface = pytest.importorskip("fairseq_plugins.huggingface")


TOKENIZERS = ["subword-nmt", "sentencepiece"]


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """By tokenizer: a record, a checkpoint of random weights over it, and its folder."""
    made = {}
    for name in TOKENIZERS:
        folder = tmp_path_factory.mktemp(name)
        record = write_record(folder, name)
        torch.manual_seed(2)  # with which hypotheses differ
        save(folder / "model.pt", "transformer_neuralqkv_tiny", task_of(record), noise=0.5)
        words = ["export-huggingface", folder / "model.pt", folder / "out", "--text", folder]
        assert cli.main(list(map(str, words))) == 0
        made[name] = record, folder / "model.pt", folder / "out"
    return made


@pytest.fixture(params=TOKENIZERS)
def exported(request, exports):
    return exports[request.param]


@pytest.mark.parametrize("side", ["source", "target"])
def test_ids_are_fairseqs(side, exported):
    record, _, folder = exported
    tokenizer = huggingface.RecordTokenizer.from_pretrained(folder)
    language = getattr(record, side)
    dictionary, encode = getattr(task_of(record), f"{side}_dictionary"), record.encoder(language)
    for line in [*FRENCH, *ENGLISH, *HOSTILE]:
        expected = dictionary.encode_line(encode(line), add_if_not_exist=False).tolist()
        given = {"text": line} if side == "source" else {"text_target": line}
        assert tokenizer(**given)["input_ids"] == expected, line
    assert len(tokenizer) == len(dictionary)


def test_translations_are_those_of_this_package(exported):
    record, checkpoint, folder = exported
    settings = Settings((str(checkpoint),), record, ("--cpu", "--max-len-b", "12", "--beam", "5"))
    expected = [found[0].text for found in Translator(settings).answer(list(map(record.encoder(), FRENCH)), seed=1)]
    tokenizer = huggingface.RecordTokenizer.from_pretrained(folder)
    model = huggingface.StagedForTranslation.from_pretrained(folder).eval()
    given = tokenizer(FRENCH, return_tensors="pt", padding=True)
    found = model.generate(**given, max_new_tokens=13)
    assert tokenizer.batch_decode(found, skip_special_tokens=True) == expected
    assert len(set(expected)) > 1


def test_it_is_loaded_without_fairseq_and_saved_again(exports, tmp_path):
    expected = []
    for _, _, folder in exports.values():
        tokenizer = huggingface.RecordTokenizer.from_pretrained(folder)
        found = tokenizer(FRENCH)["input_ids"]
        expected.append([found, tokenizer.decode(found[0], skip_special_tokens=True)])
    program = """
import json, sys
for name in ("fairseq", "fairseq_plugins"):
    sys.modules[name] = None
from transformers import AutoTokenizer
lines, *folders = json.loads(sys.argv[1]), *sys.argv[2:]
answers = []
for folder in folders:
    for _ in range(2):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
        found = tokenizer(lines)["input_ids"]
        folder = folder + "-again"
        tokenizer.save_pretrained(folder)
    answers.append([found, tokenizer.decode(found[0], skip_special_tokens=True)])
print(json.dumps(answers))
"""
    called = subprocess.run(
        [sys.executable, "-c", program, json.dumps(FRENCH), *(folder for _, _, folder in exports.values())],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
        cwd=tmp_path,
    )
    assert called.returncode == 0, called.stderr
    assert json.loads(called.stdout) == expected


def test_what_stands_in_the_way(exported, tmp_path, capsys):
    """No record is no tokenizer; one of another dictionary is refused."""
    record, _, _ = exported
    save(tmp_path / "other.pt", "transformer_baseline_tiny")
    assert cli.main(["export-huggingface", str(tmp_path / "other.pt"), str(tmp_path / "out")]) == 0
    assert "wrote no tokenizer (" in capsys.readouterr().err
    words = ["export-huggingface", tmp_path / "other.pt", tmp_path / "two", "--text", record.folder]
    assert cli.main(list(map(str, words))) == 1
    assert "symbols for fr, but the model has 37 rows" in capsys.readouterr().err
