"""What the settings are run on: a few dozen sentences, binarised in every way that fairseq's tasks read."""

import shutil

from tiny_training import write_corpus


def write_corpora(folder):
    """``bin`` and ``joined`` (de-en), ``raw`` (de-en, unbinarised), ``mono`` (en), ``classes`` and ``scores`` (pairs).

    ``joined`` has one dictionary for both languages, and word alignments; ``raw`` has words that no dictionary knows.
    """
    from fairseq import options
    from fairseq_cli import preprocess

    def binarise(*arguments):
        preprocess.main(options.get_preprocessing_parser().parse_args(list(map(str, arguments))))

    write_corpus(folder)
    for split in ("train", "valid"):
        lengths = [len(line.split()) for line in (folder / f"{split}.de").read_text().splitlines()]
        aligned = [" ".join(f"{i}-{n - 1 - i}" for i in range(n)) for n in lengths]
        (folder / f"{split}.align").write_text("\n".join(aligned) + "\n")
    prefixes = [*("--trainpref", folder / "train", "--validpref", folder / "valid", "--testpref", folder / "valid")]
    languages = ("-s", "de", "-t", "en")
    binarise(*languages, *prefixes, "--joined-dictionary", "--align-suffix", "align", "--destdir", folder / "joined")

    raw = folder / "raw"
    raw.mkdir()
    for language in ("de", "en"):
        shutil.copy(folder / "bin" / f"dict.{language}.txt", raw)
        for split in ("train", "valid", "test"):
            text = (folder / f"{'valid' if split == 'test' else split}.{language}").read_text()
            (raw / f"{split}.de-en.{language}").write_text(text.replace("w7", "unknown7").replace("w3", "un@@ known3"))
    shutil.copy(folder / "mono" / "dict.txt", folder / "bin")  # a language model that helps to translate looks there

    _write_pairs(folder, binarise)
    sentences = (folder / "valid.de").read_text().splitlines()
    (folder / "words").write_text("unheard wort\n")
    (folder / "input.de").write_text("\n".join([*sentences[:6], "w1 unheard w2"]) + "\n")
    constrained = [f"{line}\t{' '.join(line.split()[:2])}\tw5" for line in sentences[:6]]
    (folder / "constrained.de").write_text("\n".join(constrained) + "\n")


def _write_pairs(folder, binarise):
    """Pairs of sentences: class 1 where the first has the word w0, and as a score the second's share of words."""
    for name in ("classes", "scores"):
        for part in ("input0", "input1"):
            suffix = {"input0": "de", "input1": "en"}[part]
            texts = {split: folder / f"{part}.{split}" for split in ("train", "valid")}
            for split, path in texts.items():
                lines = (folder / f"{split}.{suffix}").read_text().splitlines()
                path.write_text("\n".join(lines if part == "input0" else [*lines[1:], lines[0]]) + "\n")
            prefixes = ("--trainpref", texts["train"], "--validpref", texts["valid"])
            known = ("--srcdict", folder / "mono" / "dict.txt")
            binarise("--only-source", *prefixes, *known, "--destdir", folder / name / part)
        for split in ("train", "valid"):
            lines = (folder / f"{split}.de").read_text().splitlines()
            labels = folder / name / "label"
            labels.mkdir(exist_ok=True)
            if name == "scores":
                scores = [f"{len(line.split()) / 6:.3f}" for line in lines]
                (labels / f"{split}.label").write_text("\n".join(scores) + "\n")
            else:
                (folder / f"label.{split}").write_text(
                    "\n".join(str(int("w0" in line.split())) for line in lines) + "\n"
                )
    prefixes = ("--trainpref", folder / "label.train", "--validpref", folder / "label.valid")
    binarise("--only-source", *prefixes, "--destdir", folder / "classes" / "label")
