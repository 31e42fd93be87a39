"""Byte-level BPE against fairseq's own encoder and script, Hugging Face's tokenizers, and counting by hand."""

import gzip
import itertools
import json
import random
import subprocess
import sys
from argparse import Namespace
from collections import Counter
from pathlib import Path

import fairseq
import pytest
from fairseq.data import Dictionary
from fairseq.data.encoders.gpt2_bpe import GPT2BPE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline_tools import ROOT, sentences

from fairseq_plugins.cli import main
from fairseq_plugins.text import byte_bpe
from fairseq_plugins.text.byte_bpe import ByteBPE

tokenizers = pytest.importorskip("tokenizers")

SIZE = 330
#: what text may hold: scripts, combining and zero-width signs, digits, contractions, blanks of all kinds
ODD_LINES = [
    "Señor Müller's naïve café isn't 1,234.5 €",
    "戦場のヴァルキュリア3, Ἀθῆναι, Привет, שלום, हिन्दी",
    "a\tb  c   d\u00a0e\u2003f\u3000g\u200bh\u2028i\u0085j",
    "👩‍👩‍👧 e\u0301 ﬁ ½ x² ١٢٣ Ⅷ",
    "'s 'S 'll x'll we've he'd 'tis ''s !'re",
    "@-@ @,@ = = = http://a.b/c?d=e_f#g",
    "\x00\x01\x1c\x7f",
    "Ġ ĠĠ Ċ <unk> <mask> <s> </s>",
    "",
]
SHARED = ROOT.parent / "shared" / "data" / "wikitext-2" / "raw" / "wiki.valid.raw.gz"


@pytest.fixture(scope="module")
def text():
    """Lines to learn from: sentences of a toy grammar and the odd ones."""
    return [english for _, english in sentences(300, 1)] + ODD_LINES


@pytest.fixture(scope="module")
def folder(text, tmp_path_factory):
    """A learnt BPE."""
    folder = tmp_path_factory.mktemp("bpe")
    byte_bpe.write_model(folder, *byte_bpe.learn(text, SIZE))
    return folder


@pytest.fixture(scope="module")
def reference(folder):
    """fairseq's encoder on the same files, built as its ``--bpe gpt2`` is."""
    files = {"gpt2_encoder_json": folder / "encoder.json", "gpt2_vocab_bpe": folder / "vocab.bpe"}
    return GPT2BPE(Namespace(**{name: str(path) for name, path in files.items()}))


# ------------------------------------------------------------------ learning


def merges_of(folder):
    lines = (folder / "vocab.bpe").read_text(encoding="utf-8").split("\n")
    assert lines[0] == "#version: 0.2"
    assert lines[-1] == ""
    return [tuple(line.split(" ")) for line in lines[1:-1]]


def test_size_and_files(folder):
    symbols = json.loads((folder / "encoder.json").read_text(encoding="ascii"))
    assert sorted(symbols.values()) == list(range(SIZE))
    merges = merges_of(folder)
    assert len(merges) == SIZE - 256
    assert {"".join(pair) for pair in merges} < set(symbols)


def test_each_merge_is_the_most_frequent_pair(text, folder, reference):
    """Byte-pair encoding by its definition: count all pairs, merge the most frequent, count again."""
    encoder = reference.bpe
    words = Counter(word for line in text for word in encoder.pat.findall(line))
    split = {word: [encoder.byte_encoder[byte] for byte in word.encode()] for word in words}
    for pair in merges_of(folder):
        counts = Counter()
        for word, symbols in split.items():
            for neighbours in itertools.pairwise(symbols):
                counts[neighbours] += words[word]
        assert counts[pair] == max(counts.values())
        for symbols in split.values():
            index = 0
            while index < len(symbols) - 1:
                if tuple(symbols[index : index + 2]) == pair:
                    symbols[index : index + 2] = ["".join(pair)]
                index += 1


#: the command without what it does not need: torch and fairseq
LEARN = """
import sys, types
sys.modules["fairseq_plugins"] = package = types.ModuleType("fairseq_plugins")
package.__path__ = [sys.argv.pop(1)]
from fairseq_plugins.cli import main
sys.exit(main(["learn-byte-bpe", *sys.argv[1:]]))
"""


def test_learning_depends_on_neither_threads_nor_hashing(text, tmp_path):
    rng = random.Random(3)
    lines = text + ["".join(rng.choice("abcde ") for _ in range(60)) for _ in range(3000)]
    (tmp_path / "text").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    for threads in ("1", "4"):
        command = [sys.executable, "-c", LEARN, ROOT / "fairseq_plugins", tmp_path / "text", "--size", "600"]
        command += ["--output", tmp_path / threads]
        environment = {"PYTHONHASHSEED": threads, "RAYON_NUM_THREADS": threads}
        subprocess.run(command, env=environment, check=True, capture_output=True)
    for name in ("encoder.json", "vocab.bpe"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "4" / name).read_bytes()


def test_unk_of_tokenised_text_is_not_learnt():
    lines = ["the <unk> of the <unk>"] * 50
    as_text, _ = byte_bpe.learn(lines, 300)
    as_token, _ = byte_bpe.learn(lines, 300, unk=True)
    assert any("unk" in symbol for symbol in as_text)
    assert not any("un" in symbol or "<" in symbol[:-1] for symbol in as_token)


def test_short_text_gives_fewer_symbols(tmp_path, capsys):
    (tmp_path / "text").write_text("aa aa aa\n")
    assert main(["learn-byte-bpe", str(tmp_path / "text"), "--size", "300", "--output", str(tmp_path / "bpe")]) == 0
    # merges: "a a", "Ġ aa"
    assert "bpe: 258 symbols (of 300: the text has no more pairs that repeat)" in capsys.readouterr().err
    assert ByteBPE(tmp_path / "bpe").encode("aa aa") == "256 257"


# ------------------------------------------------------------------ encoding


def test_encodes_as_fairseq_does(text, folder, reference):
    ours = ByteBPE(folder)
    for line in text + [f"  {line}  " for line in ODD_LINES]:
        assert ours.encode(line) == reference.encode(line)
        assert reference.decode(ours.encode(line)) == line


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"])) | st.text("a'sdlvertm \t\n19é!戦"))
def test_encodes_any_text_as_fairseq_does(folder, reference, line):
    encoded = ByteBPE(folder).encode(line)
    assert encoded == reference.encode(line)
    assert reference.decode(encoded) == line


@pytest.mark.skipif(not SHARED.is_file(), reason=f"the raw WikiText-2 is not in {SHARED.parent}")
def test_encodes_wikitext_as_fairseq_does(folder, reference):
    lines = gzip.decompress(SHARED.read_bytes()).decode("utf-8").split("\n")[:300]
    ours = ByteBPE(folder)
    assert sum(not line.strip() for line in lines) > 50
    for line in lines:
        assert ours.encode(line.strip()) == reference.encode(line.strip())


def test_hugging_face_reads_the_same_files(text, folder):
    files = [str(folder / name) for name in ("encoder.json", "vocab.bpe")]
    tokenizer = tokenizers.ByteLevelBPETokenizer.from_file(*files)
    ours = ByteBPE(folder)
    for line in text:
        assert ours.encode(line) == " ".join(map(str, tokenizer.encode(line).ids))


def test_unk_of_tokenised_text_is_one_token(folder, reference):
    ours = ByteBPE(folder, unk=True)
    encoded = ours.encode("The <unk> has seen <unk> .")
    # as fairseq's fill_mask does with <mask>: the spans between, each without the blank at its end
    assert encoded == " <unk> ".join(map(reference.encode, ["The", " has seen", " ."]))
    assert reference.decode(encoded) == "The<unk> has seen<unk> ."
    assert ours.encode("<unk> <unk>") == "<unk> <unk>"
    assert ours.encode("The man") == reference.encode("The man")
    assert "<unk>" not in ByteBPE(folder).encode("The <unk>")


def test_command_writes_what_fairseqs_script_writes(text, folder, tmp_path):
    script = Path(fairseq.__file__).parent / "examples" / "roberta" / "multiprocessing_bpe_encoder.py"
    if not script.is_file():
        pytest.skip("this fairseq was installed without its examples")
    (tmp_path / "text").write_text("".join(f" {line} \n" for line in text), encoding="utf-8")
    options = ["--encoder-json", folder / "encoder.json", "--vocab-bpe", folder / "vocab.bpe", "--keep-empty"]
    command = [sys.executable, script, *options, "--workers", "1", "--inputs", tmp_path / "text"]
    subprocess.run([*map(str, command), "--outputs", str(tmp_path / "theirs")], check=True, capture_output=True)
    assert main(["apply-byte-bpe", "--bpe", str(folder), str(tmp_path / "text"), "--output", str(tmp_path / "o")]) == 0
    assert (tmp_path / "o").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_workers_do_not_change_the_result(text, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(byte_bpe, "CHUNK", 7)
    paths = [tmp_path / name for name in ("first", "second")]
    for path, lines in zip(paths, (text, text[::-1])):
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    for workers in ("1", "3"):
        outputs = [str(tmp_path / f"{path.name}.{workers}") for path in paths]
        files = [*map(str, paths), "--output", *outputs, "--dict", str(tmp_path / f"dict.{workers}")]
        assert main(["apply-byte-bpe", "--bpe", str(folder), *files, "--workers", workers]) == 0
    for name in ("first", "second", "dict"):
        assert (tmp_path / f"{name}.1").read_bytes() == (tmp_path / f"{name}.3").read_bytes()
    (tmp_path / "second").write_bytes(b"good\n" * 20 + b"b\xffd\n")
    assert main(["apply-byte-bpe", "--bpe", str(folder), *files, "--workers", "3"]) == 1
    assert f"{tmp_path}/second:21: byte 0xff at column 2 is not UTF-8" in capsys.readouterr().err


def test_dictionary_has_every_id(text, folder, tmp_path):
    (tmp_path / "text").write_text("".join(f"{line}\n" for line in text[:50]), encoding="utf-8")
    files = [str(tmp_path / "text"), "--output", str(tmp_path / "ids"), "--dict", str(tmp_path / "dict.txt")]
    assert main(["apply-byte-bpe", "--bpe", str(folder), *files]) == 0
    dictionary = Dictionary.load(str(tmp_path / "dict.txt"))
    counted = Dictionary()
    Dictionary.add_file_to_dictionary(str(tmp_path / "ids"), counted, str.split, 1)
    for identity in range(SIZE):
        index = dictionary.index(str(identity))
        assert index != dictionary.unk()
        known = counted.index(str(identity))
        assert dictionary.count[index] == (0 if known == counted.unk() else counted.count[known])
    # fairseq-preprocess orders and pads the dictionaries that it makes in the same way
    counted.finalize()
    assert dictionary.symbols[4:20] == counted.symbols[4:20]
    assert len(dictionary) % 8 == 0
    every_byte = " ".join(str(identity) for identity in range(256))
    assert dictionary.unk() not in dictionary.encode_line(every_byte, add_if_not_exist=False)


# ------------------------------------------------------------------ what users get wrong


def spoiled(folder, tmp_path, name, change):
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in ("encoder.json", "vocab.bpe"):
        data = (folder / file).read_text(encoding="utf-8")
        (copy / file).write_text(change(data) if file == name else data, encoding="utf-8")
    return copy


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("vocab.bpe", lambda text: text + "x y\n", "encoder.json lacks 'xy' of"),
        ("vocab.bpe", lambda text: "#version: 0.2\na\n", "is not in GPT-2's format"),
        ("encoder.json", lambda text: text[:-20], "is not in GPT-2's format"),
        ("encoder.json", lambda text: "[1, 2]", "is not in GPT-2's format"),
        ("encoder.json", lambda text: text.replace('"!"', '"!!"'), "encoder.json lacks '!' of"),
    ],
)
def test_files_that_do_not_fit(folder, tmp_path, name, change, message, capsys):
    copy = spoiled(folder, tmp_path, name, change)
    (tmp_path / "text").write_text("a\n")
    command = ["apply-byte-bpe", "--bpe", str(copy), str(tmp_path / "text"), "--output", str(tmp_path / "ids")]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert message in error
    assert str(copy) in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "text"]


def test_bad_calls(folder, tmp_path, capsys, monkeypatch):
    def refused(message, *arguments):
        assert main([*map(str, arguments)]) == 1
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1

    path, out = tmp_path / "text", tmp_path / "out"
    path.write_bytes(b"fine\nM\xe4dchen\n")
    refused("text:2: byte 0xe4 at column 2 is not UTF-8", "apply-byte-bpe", "--bpe", folder, path, "--output", out)
    refused("text:2: byte 0xe4 at column 2 is not UTF-8", "learn-byte-bpe", path, "--size", 300, "--output", out)
    path.write_bytes(b"")
    refused("text: the file is empty", "apply-byte-bpe", "--bpe", folder, path, "--output", out)
    refused("nowhere: cannot be read", "apply-byte-bpe", "--bpe", folder, tmp_path / "nowhere", "--output", out)
    refused("encoder.json: no such file", "apply-byte-bpe", "--bpe", tmp_path, path, "--output", out)
    refused("--output needs 2 names", "apply-byte-bpe", "--bpe", folder, path, path, "--output", out)
    path.write_bytes(b"fine\n")
    refused("out: cannot be written", "apply-byte-bpe", "--bpe", folder, path, "--output", tmp_path / "no" / "out")
    refused("ask for 256 or more", "learn-byte-bpe", path, "--size", 255, "--output", out)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    refused("run: pip install tokenizers", "learn-byte-bpe", path, "--size", 300, "--output", out)
    assert [entry.name for entry in tmp_path.iterdir()] == ["text"]
