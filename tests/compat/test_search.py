"""Options of generation that stock fairseq dies of, on a stock architecture and on ours; buckets of lengths."""

import re

import pytest
import tiny_training
import torch
from fairseq import checkpoint_utils, data, utils
from fairseq.data import Dictionary, data_utils
from fairseq.data.bucket_pad_length_dataset import BucketPadLengthDataset
from fairseq.sequence_generator import SequenceGenerator
from running import forked

from fairseq_plugins.compat.unknown_words import _Alignment

ARCHS = ["transformer_tiny", "transformer_baseline_tiny"]
SOURCES = ["w1 new0 w3", "new1 w2", "w4 w5 w6 w7", "new2"]
REFERENCES = ["w3 w1", "w2", "", "w9 w9"]


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """Folders of both architectures' checkpoints, the same from the same seed, and of one without cross-attention."""
    folder = tmp_path_factory.mktemp("generation")
    for arch in ARCHS:
        options = f"bin --arch {arch} {tiny_training.SMALL} --criterion label_smoothed_cross_entropy --optimizer adam"
        tiny_training.train(corpus, folder / arch, f"{options} {tiny_training.AT_THE_END}", updates=12)
    tiny_training.train(corpus, folder / "alone", f"{options} --no-cross-attention")
    return folder


@pytest.fixture(scope="module")
def raw(corpus, tmp_path_factory):
    """Text as it is, with words that no dictionary knows and a reference without a word."""
    folder = tmp_path_factory.mktemp("raw")
    for language, lines in (("de", SOURCES), ("en", REFERENCES)):
        (folder / f"test.de-en.{language}").write_text("".join(f"{line}\n" for line in lines))
        (folder / f"dict.{language}.txt").write_text((corpus / "bin" / f"dict.{language}.txt").read_text())
    return folder


def printed(output):
    """(letter, sentence's number) -> what fairseq prints after them, without scores."""
    lines = re.findall(r"^([STHPAI])-(\d+)\t?(.*)$", output, flags=re.M)
    return {(kind, int(number)): rest.split("\t")[-1] for kind, number, rest in lines}


def generate(folder, arch, *options):
    path = ("--path", folder / arch / "checkpoint_last.pt", "--cpu", "--beam", "2", "--max-len-b", "12")
    return forked("generate", *path, "--batch-size", "4", *options)


def generated(raw, folder, arch, *options):
    return printed(generate(folder, arch, raw, "--dataset-impl", "raw", *options))


def interactive(corpus, raw, folder, arch, *options):
    path = ("--path", folder / arch / "checkpoint_last.pt", "--cpu", "--beam", "2", "--max-len-b", "12")
    typed = ("--input", raw / "test.de-en.de", "--buffer-size", "4", "--batch-size", "2")
    return printed(forked("interactive", corpus / "bin", *path, *typed, *options))


def test_steps_and_histories_of_left_to_right_search(corpus, trained):
    """A step a token, the end included, as many as the scores printed; what stood after each begins the hypothesis."""
    output = generate(
        trained, ARCHS[1], corpus / "bin", "--gen-subset", "valid", "--print-step", "--retain-iter-history"
    )
    lines = printed(output)
    history = re.findall(r"^E-(\d+)_(\d+)\t(.*)$", output, flags=re.M)
    for number in range(30):
        tokens = lines["H", number].split()
        assert int(lines["I", number]) == len(lines["P", number].split()) == len(tokens) + 1
        stood = [text.split() for sentence, _, text in history if int(sentence) == number]
        assert stood == [tokens[:end] for end in range(1, len(tokens) + 1)] + [tokens]


@pytest.mark.parametrize(("arch", "size"), zip(ARCHS, (1, 2)))
def test_an_empty_reference_is_no_prefix(arch, size, raw, trained):
    plain = generated(raw, trained, arch)
    forced = generated(raw, trained, arch, "--prefix-size", size)
    assert forced["H", 2] == plain["H", 2]
    assert forced["P", 2] == plain["P", 2]
    for number in (0, 1, 3):
        reference = REFERENCES[number].split()
        assert forced["H", number].split()[:size] == reference[:size]
        # a reference that is over before the prefix is forces the end
        assert len(reference) >= size or forced["H", number].split() == reference


def test_prefixes_in_torchscript(corpus, trained):
    path = [str(trained / ARCHS[0] / "checkpoint_last.pt")]
    models, _, task = checkpoint_utils.load_model_ensemble_and_task(path, {"data": str(corpus / "bin")})
    generator = SequenceGenerator(models, task.target_dictionary, beam_size=2, max_len_b=9, min_len=3)
    generator.token_indices_to_suppress = torch.tensor([7])
    sample = {"src_tokens": torch.tensor([[5, 6, 7, 2], [1, 8, 9, 2]]), "src_lengths": torch.tensor([4, 3])}
    prefix = torch.tensor([[5, 6], [2, 1]])
    scripted = torch.jit.script(generator)({"net_input": sample}, prefix)
    eager = generator({"net_input": sample}, prefix)
    free = generator({"net_input": sample})
    for run in (scripted, eager):
        assert [h["tokens"].tolist()[:2] for h in run[0]] == [[5, 6]] * 2
        assert [h["tokens"].tolist() for h in run[1]] == [h["tokens"].tolist() for h in free[1]]
        assert [h["score"].item() for h in run[1]] == pytest.approx([h["score"].item() for h in free[1]])


def test_alignments_without_cross_attention_are_empty(raw, trained):
    plain = generated(raw, trained, "alone")
    for options in (("hard",), ("soft", "--replace-unk")):
        found = generated(raw, trained, "alone", "--print-alignment", *options)
        for number in range(4):
            assert found["A", number] == ""
            assert (found["H", number], found["P", number]) == (plain["H", number], plain["P", number])


def replaced(source, hypothesis, pairs, dictionary):
    """The hypothesis with the source word of each unknown word's pair, or what a dictionary says of it."""
    looks_at = {int(target): source.split()[int(position)] for position, target in (p.split("-") for p in pairs)}
    words = hypothesis.split()
    unknown = {k: looks_at[k] for k, word in enumerate(words) if word == "<unk>"}
    return " ".join(dictionary.get(unknown[k], unknown[k]) if k in unknown else word for k, word in enumerate(words))


UNKNOWN = ("--unkpen", "-3")  # a model that likes to write unknown words


@pytest.mark.parametrize(("command", "arch"), zip(("interactive", "generate"), ARCHS))
def test_unknown_words_become_the_source_words_looked_at(command, arch, corpus, raw, trained, tmp_path):
    (tmp_path / "words").write_text("new0 alt\nw2 zwei\n")

    def run(*options):
        if command == "generate":
            return generated(raw, trained, arch, *UNKNOWN, *options)
        return interactive(corpus, raw, trained, arch, *UNKNOWN, *options)

    before, copied = run("--print-alignment"), run("--replace-unk")
    translated = run("--print-alignment", "--replace-unk", tmp_path / "words")
    assert sum(before["H", number].count("<unk>") for number in range(4)) > 3
    for number, source in enumerate(SOURCES):
        pairs = before["A", number].split()
        assert copied["H", number] == replaced(source, before["H", number], pairs, {})
        assert translated["A", number].split() == pairs
        assert translated["H", number] == replaced(source, before["H", number], pairs, {"new0": "alt", "w2": "zwei"})


def test_unknown_words_between_pieces_of_words():
    """Positions are tokens, words are what stands once BPE is removed; a piece inside a word stays unknown."""
    dictionary = Dictionary()
    for symbol in ("a@@", "b", "c"):
        dictionary.add_symbol(symbol)
    unk, eos = dictionary.unk(), dictionary.eos()
    tokens = torch.tensor([4, 5, unk, 4, unk, 6, unk, eos])  # a@@ b <unk> a@@ <unk> c <unk>
    source = ["x", "fo@@", "o", "y"]
    attention = torch.zeros(4, 8)
    attention[1, 2] = attention[3, 4] = attention[0, 6] = 1.0
    alignment = _Alignment(torch.empty(0), source, attention)
    _, text, _ = utils.post_process_prediction(tokens, "", alignment, {"x": "z"}, dictionary, "@@ ")
    assert text == "ab foo a<unk> c z"
    _, text, _ = utils.post_process_prediction(tokens, "", alignment, {}, dictionary)
    assert text == "a@@ b fo@@ a@@ y c x"
    # what stock takes, indices of the source's words, means what it did
    _, text, _ = utils.post_process_prediction(torch.tensor([6, unk, eos]), "x y", [0, 1], {"y": "v"}, dictionary)
    assert text == "c v"


def test_soft_alignments_and_constraints_where_they_cannot_be(corpus, raw, trained):
    for run, words in (
        (lambda: interactive(corpus, raw, trained, ARCHS[0], "--print-alignment", "soft"), "prints hard alignments"),
        (lambda: generated(raw, trained, ARCHS[0], "--constraints"), "after a tab"),
    ):
        with pytest.raises(AssertionError, match=words):
            run()


def test_buckets_of_lengths():
    """The lower percentiles of the lengths, and every item padded to the smallest that holds it."""
    lengths = torch.randint(1, 40, (101,)).tolist()
    for number in (1, 3, 8):
        expected = sorted({sorted(lengths)[100 * part // number] for part in range(1, number + 1)})
        assert data_utils.get_buckets(lengths, number).tolist() == expected
    items = data.ListDataset([torch.full((length,), 5) for length in lengths], lengths)
    padded = BucketPadLengthDataset(items, lengths, 8, pad_idx=1, left_pad=False)
    for number, length in enumerate(lengths):
        item = padded[number].tolist()
        assert item == [5] * length + [1] * (min(size for size in expected if size >= length) - length)


def test_training_in_buckets(corpus, tmp_path):
    """More padding, the same loss, in stock's architecture and in ours."""
    losses, whole = [], "--max-tokens 999 --required-batch-size-multiple 1"
    for arch, buckets in ((ARCHS[1], ""), *((arch, "--num-batch-buckets 3") for arch in ARCHS)):
        options = f"bin --arch {arch} {tiny_training.SMALL} --dropout 0 --optimizer adam --batch-size 60 {buckets}"
        saved = tiny_training.train(corpus, tmp_path / f"{len(losses)}", f"{options} {whole}", updates=1)
        losses.append(tiny_training.trained_loss(saved))
    assert losses == pytest.approx(losses[:1] * 3, rel=1e-5)
