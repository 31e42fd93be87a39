"""Lines of text."""

import importlib
import os

from answers import Purpose, Raises
from fairseq import binarizer, file_chunker_utils
from fairseq.data import Dictionary, dictionary, indexed_dataset

TEXT = "a b\né\n\n\u65e5 \U0001f600\nlast"
READERS = ["data.dictionary", "data.indexed_dataset", "tasks.sentence_prediction", "tasks.sentence_ranking", "utils"]


def text(folder, content=TEXT, name="text"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def opened(*arguments, module="utils", as_=str, read=list, content=TEXT, **kwargs):
    """What a module's own ``open`` reads."""

    def call(folder):
        opens = vars(importlib.import_module(f"fairseq.{module}")).get("open", open)
        with opens(as_(text(folder, content)), *arguments, **kwargs) as file:
            return file.mode, getattr(file, "encoding", None), read(file), file.closed

    return call


def written(mode, **kwargs):
    def call(folder):
        path = text(folder)
        with vars(importlib.import_module("fairseq.utils")).get("open", open)(path, mode, **kwargs) as file:
            file.write(b"x\r\n" if "b" in mode else "\u00e9\n")
        return path.read_bytes()

    return call


def offsets(*arguments, as_=str, content=TEXT, **kwargs):
    return lambda folder: file_chunker_utils.find_offsets(as_(text(folder, content)), *arguments, **kwargs)


def chunk(start, end, as_=str, content=TEXT):
    def call(folder):
        chunker = file_chunker_utils.Chunker(as_(text(folder, content)), start, end)
        with chunker as lines:
            return isinstance(lines, file_chunker_utils.ChunkLineIterator), list(lines), chunker.fd.closed

    return call


def iterated(mode, start=0, end=0, **kwargs):
    """Of a file that somebody else has opened."""

    def call(folder):
        with open(text(folder), mode, **kwargs) as file:
            return list(file_chunker_utils.ChunkLineIterator(file, start, end))

    return call


def counted(workers, content=TEXT, **kwargs):
    def call(folder):
        made = Dictionary()
        result = Dictionary.add_file_to_dictionary(str(text(folder, content)), made, str.split, workers, **kwargs)
        return result, sorted(zip(made.symbols, made.count))

    return call


def binarised(folder):
    made = dictionary.Dictionary()
    made.add_symbol("a")
    path, target = text(folder), str(folder / "data")
    summary = binarizer.FileBinarizer.multiprocess_dataset(
        str(path), "mmap", binarizer.VocabularyDatasetBinarizer(made), target, len(made), 1
    )
    data = indexed_dataset.MMapIndexedDataset(target)
    return summary.num_seq, summary.num_tok, dict(summary.replaced), [item.tolist() for item in data]


def start(place):
    os.environ["CONTRACT"] = place


def pooled(*arguments, **kwargs):
    def call(_):
        pool = binarizer.Pool(*arguments, **kwargs)
        found = pool.apply(len, ("ab",)), pool.apply(os.getenv, ("CONTRACT",))
        pool.terminate()
        pool.join()
        return found

    return call


CONTRACTS = {
    "lines_of_text": {
        **{f"opened in {module}": opened(encoding="utf-8", module=module) for module in READERS},
        "opened": opened(),
        "opened by a path": opened(as_=lambda path: path),
        "opened by bytes": opened(as_=os.fsencode),
        "opened by number": opened(as_=lambda path: os.open(path, os.O_RDONLY)),
        "opened with everything": opened("rt", 1, "utf-8", "strict", None, True, None),
        "opened with an opener": opened(opener=lambda name, flags: os.open(name, flags)),
        "opened as bytes": opened("rb"),
        "opened as bytes, not buffered": opened("rb", 0),
        "opened as text, not buffered": opened("r", 0),
        "opened in another encoding": opened(encoding="latin-1"),
        "opened with errors replaced": opened(encoding="ascii", errors="replace"),
        "opened with its line ends": opened(newline="", encoding="utf-8", content="a\rb\r\n"),
        "opened for both": opened("r+", encoding="utf-8"),
        "read": opened(read=lambda file: [file.read(1), file.readline(), file.readlines(), file.read()]),
        "sought": opened(read=lambda file: [file.readline(), file.tell(), file.seek(0), next(file)], encoding="utf-8"),
        "nothing there": opened(as_=lambda path: f"{path}.nobodys"),
        "no mode": opened("q"),
        "a keyword of nobody": opened(nobodys=1),
        **{f"opened to write, {mode}": written(mode) for mode in ("wb", "ab")},
        **{f"opened to write, {mode}": written(mode, encoding="utf-8") for mode in ("w", "a", "x", "r+")},
        **{f"{count} pieces": offsets(count) for count in (-1, 0, 1, 2, 3, 30)},
        "pieces of a path": offsets(2, as_=lambda path: path),
        "pieces by keyword": lambda folder: file_chunker_utils.find_offsets(filename=text(folder), num_chunks=2),
        "pieces of nothing": offsets(2, content=""),
        "pieces of one line": offsets(3, content="a b c d e f\n"),
        "pieces of no file": offsets(2, as_=lambda path: f"{path}.nobodys"),
        "no number of pieces": offsets(None),
        "a whole file": chunk(0, 0),
        "a chunk": chunk(4, 8),
        "the last chunk": chunk(8, 99),
        "a chunk behind the end": chunk(99, 0),
        "a chunk by a path": chunk(0, 4, as_=lambda path: path),
        "a chunk that is not utf-8": chunk(0, 0, content=b"a\n\xff\n"),
        "a chunk of no file": chunk(0, 0, as_=lambda path: f"{path}.nobodys"),
        "another's text": iterated("r", encoding="utf-8"),
        "another's piece": iterated("r", 4, 8, encoding="utf-8"),
        "another's bytes": iterated("rb"),
        "counted": counted(1),
        "counted by several": counted(2),
        "counted, nothing there": lambda folder: Dictionary.add_file_to_dictionary(
            filename=str(folder / "nobodys"), dict=Dictionary(), tokenize=str.split, num_workers=1
        ),
        "binarised": binarised,
        "workers": pooled(1),
        "workers by keyword": pooled(processes=1, maxtasksperchild=3),
        "workers that start with something": pooled(1, start, ("here",), 3),
        "what is not utf-8": Purpose(opened(encoding="utf-8", content=b"a\n\xff\n"), Raises("CorpusError")),
        "a carriage return": Purpose(opened(content="a\rb\n", encoding="utf-8"), ("r", "utf-8", ["a\rb\n"], False)),
        "a carriage return in a chunk": Purpose(chunk(0, 0, content="a\rb\n"), (True, ["a\rb\n"], False)),
    }
}
