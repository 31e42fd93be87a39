"""The hub interface: a place for each sentence, alignments, and files that are here or not."""

import sys
import types

import pytest
import tiny_training
from fairseq import file_utils
from fairseq.data import encoders
from fairseq.data.encoders.gpt2_bpe import GPT2BPEConfig
from fairseq.models.transformer import TransformerModel
from fairseq.models.transformer_lm import TransformerLanguageModel

from fairseq_plugins.text import byte_bpe

LONG = "w3 " * 40
URL = "https://files.example/encoder.json"


@pytest.fixture(scope="module", params=["transformer_tiny", "transformer_baseline_tiny"])
def translator(request, corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    options = f"bin --arch {request.param} {tiny_training.SMALL} --criterion label_smoothed_cross_entropy"
    options = f"{options} --optimizer adam --max-source-positions 20 {tiny_training.AT_THE_END}"
    tiny_training.train(corpus, folder, options, updates=40)
    return TransformerModel.from_pretrained(str(folder), "checkpoint_last.pt", str(corpus / "bin"))


@pytest.fixture(scope="module")
def language_model(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lm")
    tiny_training.train(corpus, folder, tiny_training.KINDS["lm"].replace("transformer_lm", "transformer_lm_baseline"))
    return TransformerLanguageModel.from_pretrained(str(folder), "checkpoint_last.pt", str(corpus / "mono"))


def test_every_sentence_keeps_its_place(translator):
    short = ["w1 w2", "w4 w5 w6"]
    mixed = [LONG, short[0], LONG, short[1]]
    expected = translator.translate(short)
    assert len(set(expected)) == 2
    assert translator.translate(mixed, skip_invalid_size_inputs=True) == [None, expected[0], None, expected[1]]
    assert translator.translate(short, skip_invalid_size_inputs=True) == expected
    assert translator.translate(LONG, skip_invalid_size_inputs=True) is None
    tokens = [translator.encode(sentence) for sentence in mixed]
    found = translator.generate(tokens, 5, False, True)
    assert [len(hypotheses) for hypotheses in found] == [0, 5, 0, 5]
    assert [translator.decode(found[k][0]["tokens"]) for k in (1, 3)] == expected
    with pytest.raises(Exception, match="Size of sample #"):
        translator.translate(mixed)


def test_every_scored_sentence_keeps_its_place(language_model):
    lines = ["w1 w2\nw3", LONG, "w4"]
    for options in ({}, {"replace_newline_with_eos": True}):
        expected = [language_model.score(line, **options)["positional_scores"] for line in (lines[0], lines[2])]
        found = language_model.score(lines, skip_invalid_size_inputs=True, **options)
        assert found[1] is None
        for k, scores in ((0, expected[0]), (2, expected[1])):
            assert found[k]["positional_scores"].tolist() == pytest.approx(scores.tolist(), abs=1e-5)
    assert language_model.sample(["w1", LONG], skip_invalid_size_inputs=True) == [language_model.sample("w1"), None]


def test_one_sentence_takes_what_a_list_takes(translator):
    tokens, only = translator.encode("w1 w2"), translator.src_dict.index("w7")

    def allowed(_sentence, prefix):
        return [only] if len(prefix) < 4 else [translator.tgt_dict.eos()]

    one = translator.generate(tokens, beam=1, prefix_allowed_tokens_fn=allowed)
    assert one[0]["tokens"].tolist() == [only] * 3 + [translator.tgt_dict.eos()]


def test_alignments(translator, caplog):
    """True is what ``--print-alignment`` is, and the pairs are the largest weights' as the attention shows them."""
    sentences = ["w1 w2 w3", "w4"]
    tokens = [translator.encode(sentence) for sentence in sentences]
    options = ({}, {"print_alignment": "hard"}, {"print_alignment": True})
    plain, hard, true = (translator.generate(tokens, **given) for given in options)
    for one, other, third, sentence in zip(plain, hard, true, sentences):
        assert [h["tokens"].tolist() for h in third] == [h["tokens"].tolist() for h in one]
        for a, b in zip(other, third):
            length = len(sentence.split())
            attention = b["attention"][-length - 1 : -1, :-1]  # sources are padded left and end with </s>
            expected = [(source, target) for target, source in enumerate(attention.argmax(0).tolist())]
            assert a["alignment"] == b["alignment"] == expected
    assert translator.translate(sentences, print_alignment=True) == translator.translate(sentences)
    with caplog.at_level("INFO", logger="fairseq.hub_utils"):
        translator.translate(sentences, print_alignment=True, verbose=True)
    pairs = " ".join(f"{source}-{target}" for source, target in true[0][0]["alignment"])
    assert f"A\t{pairs}" in caplog.messages
    with pytest.raises(ValueError, match="hard alignments only"):
        translator.translate(sentences, print_alignment="soft", verbose=True)


def test_missing_folders_are_named(corpus, tmp_path):
    for folder, data in ((tmp_path / "nowhere", corpus / "mono"), (tmp_path, tmp_path / "nowhere")):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            TransformerLanguageModel.from_pretrained(str(folder), "checkpoint_last.pt", str(data))


class Unreachable(OSError):
    __module__ = "requests.exceptions"


def unreachable(*_args, **_kwargs):
    raise Unreachable("no route")


@pytest.fixture(params=["no package", "no network"])
def offline(request, monkeypatch, tmp_path):
    """Neither a download nor the package for it; the cache is an empty folder."""
    requests = types.ModuleType("requests")
    requests.head = requests.get = unreachable
    requests.exceptions = types.SimpleNamespace(Timeout=TimeoutError)
    monkeypatch.setitem(sys.modules, "requests", None if request.param == "no package" else requests)
    monkeypatch.setattr(file_utils, "PYTORCH_FAIRSEQ_CACHE", tmp_path / "cache")
    return "pip install requests" if request.param == "no package" else "no route"


def test_files_that_are_here_need_no_download(offline, tmp_path):
    byte_bpe.write_model(tmp_path, *byte_bpe.learn(["some words, some more words"] * 3, 270))
    files = {"gpt2_encoder_json": str(tmp_path / "encoder.json"), "gpt2_vocab_bpe": str(tmp_path / "vocab.bpe")}
    encoded = encoders.build_bpe(types.SimpleNamespace(bpe="gpt2", **files)).encode("some more")
    assert encoded == byte_bpe.ByteBPE(tmp_path).encode("some more")
    with pytest.raises((ImportError, OSError), match=offline) as caught:
        encoders.build_bpe("gpt2")
    assert GPT2BPEConfig().gpt2_encoder_json in str(caught.value)
    assert "--gpt2-encoder-json" in str(caught.value)


def test_a_file_fetched_before_is_found_without_a_network(offline, tmp_path):
    cached = tmp_path / "cache" / file_utils.url_to_filename(URL, "etag")
    cached.parent.mkdir()
    cached.write_text("{}")
    (tmp_path / "cache" / f"{cached.name}.json").write_text("{}")
    assert file_utils.cached_path(URL) == str(cached)
