"""A small French-English corpus with its record, made in this process: what the models of a test read and write."""

from collections import Counter
from pathlib import Path

from fairseq.data import Dictionary
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from running import forked
from subword_nmt.learn_bpe import learn_bpe

from fairseq_plugins.text.byte_bpe import ByteBPE, dictionary, write_model
from fairseq_plugins.text.byte_bpe import learn as learn_bytes
from fairseq_plugins.text.record import ONLY_SOURCE, TextRecord
from fairseq_plugins.text.sentencepiece import learn
from fairseq_plugins.text.steps import (
    ByteBpe,
    KnownFile,
    Lowercase,
    Sacremoses,
    SentencePiece,
    SingleBlanks,
    SubwordNmt,
)

FRENCH = [
    "Un homme dort sur l'herbe.",
    "L'enfant n'a pas vu « la mer » aujourd'hui !",
    "Deux chiens courent, et M. Petit rit.",
    "Qu'est-ce que c'est ?",
    "Une amie d'Anna achète du pain & du lait.",
    "Non.",
    "Il y a 3,5 % de sel dans l'eau de la mer, dit-elle.",
    "Les chevaux blancs sont rentrés avant la nuit.",
]
ENGLISH = [
    "A man sleeps on the grass.",
    'The child has not seen "the sea" today!',
    "Two dogs run, and Mr. Petit laughs.",
    "What is this?",
    "A friend of Anna's buys bread & milk.",
    "No.",
    "There is 3.5 % of salt in the water of the sea, she says.",
    "The white horses were back before the night.",
]


def write_record(folder: Path, pieces: str) -> TextRecord:
    """The record of a corpus of these lines, in a folder with all that it names, and bin/ with the corpus as test set.

    ``pieces``: ``subword-nmt``, after sacremoses, or ``sentencepiece``, of text as it is, in lower case.
    """
    sides = {"fr": FRENCH, "en": ENGLISH}
    if pieces == "subword-nmt":
        words = {side: [Sacremoses(side, ["normalize", "tokenize"])] for side in sides}
    else:
        words = {side: [SingleBlanks(), Lowercase()] for side in sides}
    made = {}
    for side, lines in sides.items():
        encode = TextRecord("fr", "en", words, {}, folder).encoder(side)
        made[side] = [encode(line) for line in lines]
        (folder / f"words.{side}").write_text("".join(f"{line}\n" for line in made[side]), encoding="utf-8")
    if pieces == "subword-nmt":
        with open(folder / "bpe.codes", "w", encoding="utf-8") as codes:
            learn_bpe([line for lines in made.values() for line in lines], codes, 60)
        step = SubwordNmt(KnownFile.of(folder, "bpe.codes"))
    else:
        (folder / "spm.model").write_bytes(learn([folder / "words.fr", folder / "words.en"], 90))
        step = SentencePiece(KnownFile.of(folder, "spm.model"))
    encode = step.encoder(folder)
    for side, lines in made.items():
        (folder / f"test.{side}").write_text("".join(f"{encode(line)}\n" for line in lines), encoding="utf-8")
    prefixes = ["--trainpref", folder / "test", "--testpref", folder / "test"]
    forked("preprocess", "-s", "fr", "-t", "en", *prefixes, "--joined-dictionary", "--destdir", folder / "bin")
    dictionaries = {side: KnownFile.of(folder, f"bin/dict.{side}.txt") for side in sides}
    record = TextRecord("fr", "en", {side: [*words[side], step] for side in sides}, dictionaries, folder)
    record.write(folder / "text.json")
    return record


def task_of(record: TextRecord) -> TranslationTask:
    """fairseq's task with the dictionaries of a record."""
    files = {side: file.find(record.folder) for side, file in record.dictionaries.items()}
    dictionaries = [Dictionary.load(str(files[side])) for side in (record.source, record.target)]
    sides = {"source_lang": record.source, "target_lang": record.target}
    return TranslationTask(TranslationConfig(data=str(files[record.source].parent), **sides), *dictionaries)


def write_byte_record(folder: Path) -> TextRecord:
    """The record of the English lines as byte-level BPE, for language models."""
    write_model(folder / "bpe", *learn_bytes(ENGLISH, 280))
    (folder / "bin").mkdir()
    (folder / "bin" / "dict.txt").write_bytes(dictionary(ByteBPE(folder / "bpe").ids, Counter()))
    step = ByteBpe(KnownFile.of(folder, "bpe/encoder.json"), KnownFile.of(folder, "bpe/vocab.bpe"), unk=True)
    files = {ONLY_SOURCE: KnownFile.of(folder, "bin/dict.txt")}
    record = TextRecord(ONLY_SOURCE, ONLY_SOURCE, {ONLY_SOURCE: [step]}, files, folder)
    record.write(folder / "text.json")
    return record
