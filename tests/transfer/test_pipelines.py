"""Exported folders in transformers' pipelines, with raw text: one of each kind that transformers still has.

Version 5 has none for translation; ``generate`` is in tests/huggingface.
"""

import pytest
import torch
from builders import language_modeling_task, masked_lm_task, save
from fairseq.data import Dictionary
from recorded_text import ENGLISH, write_byte_record

from fairseq_plugins import cli

pytest.importorskip("transformers")
ODD = ["two  blanks", "naïve 東京 🙂", "tab\tand 'quotes'"]


def export(*words):
    assert cli.main(["export-huggingface", *map(str, words)]) == 0


@pytest.fixture(scope="module", params=["transformer_lm_elu1", "transformer_lm_baseline_tiny"])
def language_model(request, tmp_path_factory):
    """A causal language model of byte-level BPE, its dictionary, record, and folder: with our code, or as XGLM."""
    folder = tmp_path_factory.mktemp("lm")
    record = write_byte_record(folder)
    words = Dictionary.load(str(folder / "bin" / "dict.txt"))
    task = language_modeling_task()
    task.dictionary = task.output_dictionary = words
    torch.manual_seed(3)
    save(folder / "model.pt", request.param, task, decoder_normalize_before=True)
    export(folder / "model.pt", folder / "out", "--text", folder)
    return folder / "model.pt", words, record, folder / "out"


def test_a_language_models_tokenizer_gives_fairseqs_rows(language_model):
    from transformers import AutoTokenizer

    _, words, record, folder = language_model
    tokenizer, encode = AutoTokenizer.from_pretrained(folder), record.encoder(record.source)
    for line in [*ENGLISH, *ODD]:
        rows = words.encode_line(encode(line), add_if_not_exist=False, append_eos=False).tolist()
        assert tokenizer(line)["input_ids"] == [words.eos(), *rows], line
        assert tokenizer.decode(rows) == line
    assert len(tokenizer) == len(words)
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (2, 2, 1)


def test_text_generation(language_model):
    """What the model itself finds most probable, word after word."""
    from fairseq.checkpoint_utils import load_model_ensemble
    from transformers import pipeline

    path, words, record, folder = language_model
    complete = pipeline("text-generation", model=str(folder), trust_remote_code=True, device="cpu")
    options = {"do_sample": False, "num_beams": 1, "max_new_tokens": 4, "min_new_tokens": 4}
    (found,) = complete("The sea", return_full_text=False, **options)
    task = language_modeling_task()
    task.dictionary = task.output_dictionary = words
    (model,), _ = load_model_ensemble([str(path)], task=task)
    begun = record.encoder(record.source)("The sea")
    rows = [words.eos(), *words.encode_line(begun, add_if_not_exist=False, append_eos=False).tolist()]
    for _ in range(4):
        with torch.no_grad():
            logits = model.eval()(torch.tensor([rows]))[0][0, -1]
        logits[words.eos()] = -torch.inf
        rows.append(int(logits.argmax()))
    assert found["generated_text"] == complete.tokenizer.decode(rows[-4:], skip_special_tokens=True)


@pytest.fixture(scope="module", params=["roberta_neuralqkv_tiny", "roberta_baseline_tiny"])
def masked_model(request, tmp_path_factory):
    """RoBERTas without and with a head, what fairseq makes of a text, and their folders: our code, or transformers'."""
    folder = tmp_path_factory.mktemp("mlm")
    record = write_byte_record(folder)
    task = masked_lm_task()
    task.dictionary = Dictionary.load(str(folder / "bin" / "dict.txt"))
    task.mask_idx = task.dictionary.add_symbol("<mask>")
    files = ("--dict", folder / "bin" / "dict.txt", "--bpe-dir", folder / "bpe")
    models = []
    for name, heads in (("words", {}), ("mood", {"mood": 3})):
        torch.manual_seed(3)
        models.append(save(folder / f"{name}.pt", request.param, task, heads=heads))
        export(folder / f"{name}.pt", folder / name, *files)
    encode = record.steps[record.source][0].load(folder).encode  # with the blank that begins a part

    def rows(text):
        line = " <mask> ".join(encode(part) for part in text.split(" <mask>"))
        return task.dictionary.encode_line(f"<s> {line} </s>", add_if_not_exist=False, append_eos=False).long()[None]

    return models, rows, folder


def test_fill_mask_and_text_classification(masked_model):
    from transformers import pipeline

    (model, classifier), rows, folder = masked_model
    text = "A man <mask> on the grass."
    fill = pipeline("fill-mask", model=str(folder / "words"), trust_remote_code=True, device="cpu")
    tokens = rows(text)
    (place,) = tokens[0].eq(len(fill.tokenizer) - 1).nonzero()
    with torch.no_grad():
        expected = model(tokens)[0][0, place].softmax(-1).topk(3)
        mood = classifier(rows(ENGLISH[0]), features_only=True, classification_head_name="mood")[0][0].softmax(-1)
    found = fill(text, top_k=3)
    assert [one["token"] for one in found] == expected.indices[0].tolist()
    assert [one["score"] for one in found] == pytest.approx(expected.values[0].tolist(), rel=1e-4)
    classify = pipeline("text-classification", model=str(folder / "mood"), trust_remote_code=True, device="cpu")
    (best,) = classify(ENGLISH[0])
    assert best["label"] == f"LABEL_{int(mood.argmax())}"
    assert best["score"] == pytest.approx(float(mood.max()), rel=1e-4)
