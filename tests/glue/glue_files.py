"""Made-up files in the layouts of GLUE."""

from fairseq_plugins.glue.tasks import TASKS

#: rows that only quotes, blanks and odd characters tell from each other: nothing of it may be lost or split
TEXTS = [
    '"Quoted, he said',
    "it's  two   blanks ",
    'half a quote" here',
    "naïve café - 北京",
    "a",
    "b c d e f g",
    'x ""',
]


def write_tsv(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(fields) for fields in ([header] if header else []) + list(rows)]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def mnli_row(number, label, columns):
    """A row of MNLI: the label last, one label an annotator before it in the development sets."""
    first, second = TEXTS[number % len(TEXTS)], TEXTS[(3 * number + 1) % len(TEXTS)]
    return [str(number), *["-"] * 7, first, second, *["-"] * (columns - 11), label]


def write_mnli(folder, train=40, dev=(12, 9)):
    """MNLI in GLUE's layout, whose development sets have more columns than the training set."""
    labels = TASKS["MNLI"].classes
    start = ["index", "promptID", "pairID", "genre", "sentence1_binary_parse", "sentence2_binary_parse"]
    start += ["sentence1_parse", "sentence2_parse", "sentence1", "sentence2"]
    for stem, rows, annotators in (("train", train, 1), ("dev_matched", dev[0], 5), ("dev_mismatched", dev[1], 5)):
        header = [*start, *(f"label{number + 1}" for number in range(annotators)), "gold_label"]
        body = [mnli_row(number, labels[number % 3], len(header)) for number in range(rows)]
        write_tsv(folder / "MNLI" / f"{stem}.tsv", header, body)
