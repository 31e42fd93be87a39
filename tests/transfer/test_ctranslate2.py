"""Exported translation models in CTranslate2: fairseq's log-probabilities, and its beam search's hypotheses."""

import json
import os
import random
import sys

import pytest
import tiny_training
import torch
from builders import masked_lm_task, save, translation_task
from fairseq import options as fairseq_options
from fairseq.data import Dictionary
from fairseq.sequence_generator import SequenceGenerator
from fairseq_cli import preprocess
from running import forked
from sacrebleu import corpus_bleu

from fairseq_plugins import cli
from fairseq_plugins.checkpoints import Checkpoint, building, safe_load
from fairseq_plugins.commands import export_ctranslate2 as export_command
from fairseq_plugins.commands import translate_ctranslate2 as translate_command
from fairseq_plugins.runtime import processor
from fairseq_plugins.transfer.ctranslate2.exporting import export_ctranslate2
from fairseq_plugins.transfer.ctranslate2.search import load_translator, search_options, translate

ctranslate2 = pytest.importorskip("ctranslate2")

BOS, PAD, EOS = 0, 1, 2


WIDE = {"encoder_embed_dim": 32, "encoder_ffn_embed_dim": 28, "encoder_attention_heads": 8, "encoder_layers": 3}
SHAPES = {
    "stock": ("transformer", {}),
    "stock pre-norm": ("transformer", {"encoder_normalize_before": True, "decoder_normalize_before": True}),
    "baseline": ("transformer_baseline_tiny", {}),
    "symmetric": ("transformer_symmetric_tiny", {}),
    "pairwise": ("transformer_pairwise_tiny", {}),
    "mixed": ("transformer_pairwise_tiny", {"attention_compatibility": "cross=pairwise,decoder=symmetric"}),
    "no query projection": ("transformer_identityquery_tiny", {}),
    "shared keys and values": ("transformer_sharedkv_tiny", {}),
    "all shared": ("transformer_sharedqkv_tiny", {"attention_compatibility": "decoder=pairwise"}),
    "fewer key and value heads": ("transformer_baseline_tiny", {"attention_kv_heads": "encoder=2,decoder=1,cross=2"}),
    "matched": ("transformer_matched_tiny", {}),
    "matched pairwise": ("transformer_pairwise_tiny", {"match_parameters_of": "neuralqkv"}),
    "pre-norm encoder": ("transformer_pairwise_tiny", {"encoder_normalize_before": True}),
    "no final norm": ("transformer_baseline_tiny", {"decoder_normalize_before": True, "no_decoder_final_norm": True}),
    "one matrix": ("transformer_pairwise_tiny", {"share_all_embeddings": True}),
    "two matrices": ("transformer_baseline_tiny", {"share_decoder_input_output_embed": True}),
    "learned positions": ("transformer", {"encoder_learned_pos": True, "decoder_learned_pos": True}),
    "no positions": ("transformer_baseline_tiny", {"no_token_positional_embeddings": True}),
    "normed embeddings": ("transformer_pairwise_tiny", {"layernorm_embedding": True, "no_scale_embedding": True}),
    "other sizes": (
        "transformer_pairwise_tiny",
        {**WIDE, "attention_compatibility": "encoder=pairwise,decoder=symmetric"},
    ),
    "gelu": ("transformer_baseline_tiny", {"activation_fn": "gelu"}),
    "gelu_fast": ("transformer", {"activation_fn": "gelu_fast"}),
    "tanh": ("transformer", {"activation_fn": "tanh"}),
    "marian": (
        "transformer_symmetric_tiny",
        {
            "sinusoidal_positions": "marian",
            "decoder_start_symbol": "bos",
            "output_bias": True,
            "activation_fn": "swish",
            "share_all_embeddings": True,
        },
    ),
}


def saved(path, arch, task=None, **options):
    """A checkpoint whose parameters are all away from their initial values, and its model; 24 wide, the decoder too."""
    return save(path, arch, task, **{"decoder_embed_dim": 24, "decoder_ffn_embed_dim": 20, **options})


@pytest.fixture
def words(tmp_path):
    """The dictionary of ``builders``, as a file."""
    path = tmp_path / "dict.txt"
    translation_task().source_dictionary.save(str(path))
    return path


def log_probabilities(model, source, target):
    """Of each target symbol and of the </s> behind it, one unpadded sentence in fairseq."""
    given = torch.tensor([[*source, EOS]]), torch.tensor([len(source) + 1]), torch.tensor([[EOS, *target]])
    with torch.no_grad():
        logits = model(*given)[0][0].double()
    return logits.log_softmax(-1).gather(-1, torch.tensor([[*target, EOS]]).T).squeeze(-1)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_has_the_same_log_probabilities(shape, words, tmp_path):
    arch, options = SHAPES[shape]
    model = saved(tmp_path / "model.pt", arch, **options)
    export_ctranslate2(tmp_path / "model.pt", tmp_path / "out", words)
    symbols = Dictionary.load(str(words)).symbols
    sentences = [
        [
            [random.Random(row + side).randrange(3, len(symbols)) for _ in range(length)]
            for row, length in enumerate(rows)
        ]
        for side, rows in ((0, (7, 1, 12)), (100, (5, 9, 2)))
    ]
    sources, targets = ([[symbols[i] for i in sentence] for sentence in side] for side in sentences)
    found = load_translator(tmp_path / "out").score_batch(sources, targets)
    for source, target, result in zip(*sentences, found):
        expected = log_probabilities(model, source, target)
        torch.testing.assert_close(torch.tensor(result.log_probs).double(), expected, atol=1e-4, rtol=0)


def test_attention_is_that_of_the_aligned_layer_and_heads(words, tmp_path):
    model = saved(tmp_path / "model.pt", "transformer_baseline_tiny", alignment_layer=0, alignment_heads=3)
    export_ctranslate2(tmp_path / "model.pt", tmp_path / "out", words)
    dictionary = Dictionary.load(str(words))
    source = dictionary.symbols[4:9]
    (found,) = load_translator(tmp_path / "out").translate_batch(
        [source], beam_size=1, max_decoding_length=4, return_attention=True
    )
    tokens = torch.tensor([[*map(dictionary.index, source), EOS]])
    prev = torch.tensor([[EOS, *map(dictionary.index, found.hypotheses[0][:-1])]])
    expected = model(tokens, torch.tensor([6]), prev)[1]["attn"][0][0, :, :-1]  # CTranslate2 leaves </s> out
    torch.testing.assert_close(torch.tensor(found.attention[0]), expected, atol=1e-4, rtol=0)


def test_float64_weights_become_float32(words, tmp_path):
    saved(tmp_path / "model.pt", "transformer_pairwise_tiny")
    state = safe_load.load_checkpoint(tmp_path / "model.pt")
    state["model"] = {name: tensor.double() for name, tensor in state["model"].items()}
    torch.save(state, tmp_path / "double.pt")
    for name in ("model", "double"):
        export_ctranslate2(tmp_path / f"{name}.pt", tmp_path / name, words)
    sizes = {(tmp_path / name / "model.bin").stat().st_size for name in ("model", "double")}
    assert len(sizes) == 1


BIGGER = (
    "--encoder-embed-dim 32 --decoder-embed-dim 32 --encoder-ffn-embed-dim 48 --decoder-ffn-embed-dim 40 "
    "--encoder-attention-heads 4 --decoder-attention-heads 4 --warmup-updates 40"
)
TRAINED = tiny_training.KINDS["adam"].replace("bin ", "{data} ").replace("transformer_", "transformer_{variant}")
EVERYWHERE = "--attention-compatibility pairwise"
PRE_NORM = "--encoder-normalize-before --decoder-normalize-before"
#: name -> data, variant, options
TRANSLATORS = {
    "symmetric": (
        "bin",
        "symmetric_",
        f"--attention-compatibility symmetric {PRE_NORM} --share-decoder-input-output-embed",
    ),
    "pairwise": ("joined", "pairwise_", f"{EVERYWHERE} --share-all-embeddings"),
}


def pairs(count, seed):
    """Sentences of 15 words in two languages; most words have two translations, of one or of two words."""
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        source = [rng.randrange(15) for _ in range(rng.randint(2, 6))]
        target = [rng.choice((f"x{word}", f"y{word % 9} z{word % 4}")) if word % 3 else f"x{word}" for word in source]
        made.append((" ".join(f"w{word}" for word in source), " ".join(target)))
    return made


@pytest.fixture(scope="module")
def languages(tmp_path_factory):
    """The corpus of :func:`pairs`, binarised with two dictionaries of unlike sizes (bin) and with one (joined)."""
    folder = tmp_path_factory.mktemp("languages")
    for seed, (split, size) in enumerate((("train", 600), ("valid", 20), ("test", 150))):
        for side, lines in zip(("de", "en"), zip(*pairs(size, seed))):
            (folder / f"{split}.{side}").write_text("".join(f"{line}\n" for line in lines))
    parser = fairseq_options.get_preprocessing_parser()
    splits = [f"--{split}pref={folder}/{split}" for split in ("train", "valid", "test")]
    for data, more in (("bin", []), ("joined", ["--joined-dictionary"])):
        preprocess.main(parser.parse_args(["-s", "de", "-t", "en", *splits, f"--destdir={folder}/{data}", *more]))
    return folder


@pytest.fixture(scope="module")
def trained(languages, tmp_path_factory):
    """``trained(name)``: a checkpoint of :data:`TRANSLATORS` that translates, and its data folder."""
    done = {}

    def run(name):
        if name not in done:
            data, variant, more = TRANSLATORS[name]
            more = f"{more} --max-tokens 400 --seed 3 {tiny_training.AT_THE_END}"
            options = f"{TRAINED.format(data=data, variant=variant)} {BIGGER} {more}"
            path = tiny_training.train(languages, tmp_path_factory.mktemp("trained"), options, 200)
            done[name] = path, languages / data
        return done[name]

    return run


@pytest.fixture
def export(trained, tmp_path):
    """``export(name, quantization)``: the folder of a trained model."""

    def run(name, quantization="float32"):
        path, data = trained(name)
        folder = tmp_path / f"{name} {quantization}"
        export_ctranslate2(path, folder, data / "dict.de.txt", data / "dict.en.txt", quantization)
        return folder

    return run


@pytest.fixture(scope="module")
def sentences(languages):
    return [line.split() for line in (languages / "test.de").read_text().splitlines()]


def by_fairseq(trained_model, sentences, forbid_first=False, **options):
    """The tokens and the score of every sentence's best hypothesis.

    Args:
        forbid_first: take out what is never generated before the softmax, as CTranslate2 does, and not after it.
        options: those of fairseq's generator.
    """
    path, data = trained_model
    model = building.load(Checkpoint.read(path))
    source, target = (Dictionary.load(str(data / f"dict.{side}.txt")) for side in ("de", "en"))
    generator = SequenceGenerator([model], target, **options)
    if forbid_first:
        generator.model.forward_decoder = renormalised(generator.model.forward_decoder)
    found = []
    for start in range(0, len(sentences), 50):
        rows = [[*map(source.index, sentence), EOS] for sentence in sentences[start : start + 50]]
        lengths = torch.tensor([len(row) for row in rows])
        tokens = torch.tensor([[PAD] * (int(lengths.max()) - len(row)) + row for row in rows])
        sample = {"net_input": {"src_tokens": tokens, "src_lengths": lengths}}
        for best, *_ in generator.generate([model], sample):
            found.append((target.string(best["tokens"]).split(), float(best["score"])))
    return found


def renormalised(forward_decoder):
    """Log-probabilities of what may be generated, given that it is that: no <pad>, and no </s> in the first place."""

    def forward(tokens, *rest):
        log_probs, attention = forward_decoder(tokens, *rest)
        log_probs[:, [PAD] if tokens.size(1) > 1 else [PAD, EOS]] = float("-inf")
        return log_probs.log_softmax(-1), attention

    return forward


def differences(expected, found):
    """The numbers of the sentences whose hypotheses are not the same."""
    return [number for number, (ours, theirs) in enumerate(zip(expected, found)) if ours[0] != theirs.tokens]


SEARCHES = [(5, 1.0), (1, 1.0), (5, 0.0), (4, 0.6)]


# the search knows a model by its probabilities alone, which every shape has: one model meets every search
@pytest.mark.parametrize(
    ("name", "beam", "lenpen"),
    [*((name, *SEARCHES[0]) for name in TRANSLATORS), *(("pairwise", *search) for search in SEARCHES[1:])],
)
def test_the_best_hypotheses_are_those_of_fairseq(name, beam, lenpen, trained, export, sentences):
    """Of 150 at most three are others; with the same probabilities at most one, and it is as good to 1e-4."""
    options = {"beam_size": beam, "len_penalty": lenpen, "max_len_b": 40}
    expected = by_fairseq(trained(name), sentences, **options)
    found = translate(load_translator(export(name)), sentences, beam=beam, lenpen=lenpen, max_len=40)
    assert len({tuple(tokens) for tokens, _ in expected}) > 100
    assert len(differences(expected, found)) <= 3

    exactly = by_fairseq(trained(name), sentences, forbid_first=True, **options)
    assert len([number for number in differences(exactly, found) if not found[number].cut]) <= 1
    for (_, score), translation in zip(exactly, found):
        assert translation.cut or abs(translation.score - score) < 1e-4


def test_trained_models_have_the_same_log_probabilities(trained, export, languages, sentences):
    path, data = trained("pairwise")
    model = building.load(Checkpoint.read(path))
    words = Dictionary.load(str(data / "dict.de.txt"))
    targets = [line.split() for line in (languages / "test.en").read_text().splitlines()]
    found = load_translator(export("pairwise")).score_batch(sentences, targets)
    for source, target, result in zip(sentences, targets, found):
        expected = log_probabilities(model, list(map(words.index, source)), list(map(words.index, target)))
        torch.testing.assert_close(torch.tensor(result.log_probs).double(), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("beam", [1, 5])
def test_a_hypothesis_of_the_maximum_length_counts_its_end(beam, trained, export, sentences):
    """As in fairseq, which ends it there at whatever probability: of 150 at most three are others."""
    expected = by_fairseq(trained("symmetric"), sentences, beam_size=beam, max_len_b=4)
    found = translate(load_translator(export("symmetric")), sentences, beam=beam, max_len=4)
    other = differences(expected, found)
    assert len(other) <= 3
    assert {len(translation.tokens) for translation in found if translation.cut} == {4}
    assert {len(translation.tokens) for translation in found if not translation.cut} >= {2, 3}
    for number in {*range(len(sentences))} - {*other}:
        assert abs(found[number].score - expected[number][1]) < 0.03


def test_pad_is_never_generated(export, trained, tmp_path):
    """Not even by a model that thinks it as likely as the best word."""
    path, data = trained("pairwise")
    sentence = ["w3", "w6", "w9"]
    best = by_fairseq((path, data), [sentence], beam_size=5)[0][0]
    state = safe_load.load_checkpoint(path)
    state["cfg"]["model"].share_all_embeddings = False
    outputs = state["model"]["decoder.output_projection.weight"].clone()
    outputs[PAD] = outputs[Dictionary.load(str(data / "dict.en.txt")).index(best[0])]
    state["model"]["decoder.output_projection.weight"] = outputs
    torch.save(state, tmp_path / "model.pt")
    export_ctranslate2(tmp_path / "model.pt", tmp_path / "out", data / "dict.de.txt")
    translator = load_translator(tmp_path / "out")
    careless = {**search_options(), "suppress_sequences": None, "num_hypotheses": 5}
    assert any("<pad>" in tokens for tokens in translator.translate_batch([sentence], **careless)[0].hypotheses)
    assert translate(translator, [sentence])[0].tokens == best
    assert by_fairseq((tmp_path / "model.pt", data), [sentence], beam_size=5)[0][0] == best


def test_smaller_weights_translate_about_as_well(export, languages, sentences):
    references = (languages / "test.en").read_text().splitlines()

    def quality(quantization):
        folder = export("symmetric", quantization)
        found = translate(load_translator(folder), sentences)
        hypotheses = [" ".join(translation.tokens) for translation in found]
        return corpus_bleu(hypotheses, [references]).score, (folder / "model.bin").stat().st_size

    exact, size = quality("float32")
    assert exact > 20  # a word's translation is chosen at random
    missing = processor.lacks("int8")  # sums of 8-bit products then overflow, and the export is refused
    for quantization in ("float16", "bfloat16", *(() if missing else ("int8",))):
        score, smaller = quality(quantization)
        assert abs(score - exact) < 3
        assert smaller < 0.8 * size
    if missing:
        pytest.skip(f"int8: {missing}")


def test_the_commands_translate_as_fairseq_generate_does(trained, languages, plugin, tmp_path, capsys):
    path, data = trained("symmetric")
    dictionaries = ["--dict", data / "dict.de.txt", "--target-dict", data / "dict.en.txt"]
    run(export_command, path, tmp_path / "out", *dictionaries)
    assert "folded 3 of 3 attention modules" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "config.json").read_text())["decoder_start_token"] == "</s>"
    run(translate_command, tmp_path / "out", languages / "test.de", "--max-tokens", 60, "--remove-bpe", "--threads", 1)
    written = capsys.readouterr()
    assert "150 sentences" in written.err
    options = ["--beam", 5, "--remove-bpe", "--cpu", "--num-workers", 0]
    log = forked("generate", data, "--path", path, "--user-dir", plugin, *options)
    expected = dict(line[2:].split("\t")[::2] for line in log.splitlines() if line.startswith("H-"))
    assert written.out.splitlines() == [expected[str(number)] for number in range(150)]


def test_empty_lines_and_unknown_words_from_standard_input(export, capsys, tmp_path):
    folder = export("symmetric")
    (tmp_path / "text").write_text("w3 w4\n\n \nunheard w3\u2028w4\n")
    kept = os.dup(0)
    with open(tmp_path / "text") as text:
        os.dup2(text.fileno(), 0)
    try:
        run(translate_command, folder, "--max-len-b", 30)
    finally:
        os.dup2(kept, 0)
        os.close(kept)
    lines = capsys.readouterr().out.splitlines()
    assert [bool(line) for line in lines] == [True, False, False, True]


def run(command, *arguments, status=0):
    name = command.__name__.rpartition(".")[2].replace("_", "-")
    assert cli.main([name, *map(str, arguments)]) == status


def refused(capsys, command, *arguments):
    """The one sentence that a command fails with."""
    run(command, *arguments, status=1)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


@pytest.mark.parametrize(
    ("arch", "options", "sentence"),
    [
        ("transformer_neuralqkv_tiny", {}, "the q, k, out projections of encoder.layers.0.self_attn are networks"),
        ("transformer_nonlinearquery_tiny", {}, "the q projection of encoder.layers.0.self_attn is a network"),
        (
            "transformer_baseline_tiny",
            {"attention_kernel": "cross=elu1"},
            "encoder_attn has --attention-kernel elu1, which",
        ),
        ("transformer_valueaware_tiny", {"attention_r": "2"}, "self_attn has --attention-mixing value-aware-r, which"),
        ("transformer", {"activation_fn": "linear"}, "with --activation-fn linear, which CTranslate2 does not have"),
        ("transformer", {"no_cross_attention": True}, "with --no-cross-attention, which CTranslate2 does not have"),
        ("transformer", {"adaptive_softmax_cutoff": "10,20"}, "with --adaptive-softmax-cutoff, which CTranslate2"),
        ("transformer", {"decoder_output_dim": 12}, "no place for the parameter decoder.project_out_dim.weight"),
    ],
)
def test_what_ctranslate2_does_not_have_is_said(arch, options, sentence, words, tmp_path, capsys):
    saved(tmp_path / "model.pt", arch, **options)
    assert sentence in refused(capsys, export_command, tmp_path / "model.pt", tmp_path / "out", "--dict", words)
    assert not (tmp_path / "out").exists()


def test_all_that_is_in_the_way_is_said_at_once(words, tmp_path, capsys):
    options = {"attention_kernel": "relu", "attention_r": "2", "no_cross_attention": True}
    saved(tmp_path / "model.pt", "transformer_valueaware_tiny", **options)
    said = refused(capsys, export_command, tmp_path / "model.pt", tmp_path / "out", "--dict", words)
    for option in ("--no-cross-attention", "--attention-kernel relu", "--attention-mixing value-aware-r"):
        assert f"{option}, which CTranslate2 does not have" in said


def test_what_is_no_translation_model_is_said(words, tmp_path, capsys):
    out = tmp_path / "out"
    saved(tmp_path / "roberta.pt", "roberta_pairwise_tiny", masked_lm_task())
    assert "roberta_pairwise_tiny: only" in refused(
        capsys, export_command, tmp_path / "roberta.pt", out, "--dict", words
    )
    saved(tmp_path / "model.pt", "transformer")
    state = safe_load.load_checkpoint(tmp_path / "model.pt")
    state["cfg"]["task"] = {"_name": "translation_multi_simple_epoch"}
    torch.save(state, tmp_path / "many.pt")
    said = refused(capsys, export_command, tmp_path / "many.pt", out, "--dict", words)
    assert "trained for the task translation_multi_simple_epoch: only translation" in said
    assert "test_ctranslate2.py" in refused(capsys, export_command, __file__, out, "--dict", words)
    assert not out.exists()


def test_dictionaries_and_folders_that_do_not_fit_are_said(trained, words, tmp_path, capsys):
    path, data = trained("symmetric")
    german, english, out = data / "dict.de.txt", data / "dict.en.txt", tmp_path / "out"
    rows = len(Dictionary.load(str(german))), len(Dictionary.load(str(english)))
    assert rows[0] != rows[1]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "odd").write_text("no numbers\n")
    (tmp_path / "latin").write_bytes("Stra\u00dfe 1\n".encode("latin-1"))
    for target, given, sentence in (
        (out, [german], f"dict.de.txt makes a vocabulary of {rows[0]} symbols, but the decoder of"),
        (
            out,
            [english, "--target-dict", german],
            f"dict.en.txt makes a vocabulary of {rows[1]} symbols, but the encoder",
        ),
        (out, [tmp_path / "missing.txt"], "missing.txt: cannot be read"),
        (out, [tmp_path / "odd"], "odd:1: not a symbol and its count"),
        (out, [tmp_path / "latin"], "latin:1: byte 0xdf"),
        (tmp_path / "full", [german, "--target-dict", english], "full exists: name a new folder"),
    ):
        assert sentence in refused(capsys, export_command, path, target, "--dict", *given)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["dict.txt", "full", "latin", "odd"]


def test_nothing_stays_of_a_folder_that_cannot_be_written(words, tmp_path, monkeypatch):
    saved(tmp_path / "model.pt", "transformer")

    def full(spec, folder):
        raise OSError("no space left")

    monkeypatch.setattr(ctranslate2.specs.TransformerSpec, "save", full)
    with pytest.raises(OSError, match="no space left"):
        export_ctranslate2(tmp_path / "model.pt", tmp_path / "out", words)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["dict.txt", "model.pt"]


def test_what_cannot_be_translated_is_said(words, tmp_path, capsys):
    saved(tmp_path / "model.pt", "transformer", max_source_positions=20)
    export_ctranslate2(tmp_path / "model.pt", tmp_path / "out", words)
    out, text = tmp_path / "out", tmp_path / "text"
    text.write_text("w1\n" + "w2 " * 20 + "\n")
    said = refused(capsys, translate_command, out, text)
    assert "positions >= 20" in said
    assert "sentence 2 is the longest with 20 tokens" in said
    text.write_text("w1\n")
    assert "beam size" in refused(capsys, translate_command, out, text, "--beam", 0)
    assert "compute type" in refused(capsys, translate_command, out, text, "--compute-type", "int9")
    assert "model.bin" in refused(capsys, translate_command, tmp_path, text)
    (tmp_path / "latin").write_bytes("Stra\u00dfe\n".encode("latin-1"))
    assert "latin:1: byte 0xdf" in refused(capsys, translate_command, out, tmp_path / "latin")


def test_a_missing_package_is_named(words, tmp_path, capsys, monkeypatch):
    saved(tmp_path / "model.pt", "transformer")
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    said = refused(capsys, export_command, tmp_path / "model.pt", tmp_path / "out", "--dict", words)
    assert "ctranslate2 is missing; run: pip install 'fairseq_plugins[ctranslate2]'" in said
