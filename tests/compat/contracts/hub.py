"""The hub interface."""

import copy
import functools
import os
import sys
import tarfile
import types
from pathlib import Path

import torch
from answers import Purpose, Raises
from fairseq import file_utils
from fairseq.data import LanguagePairDataset
from fairseq.dataclass.configs import FairseqConfig
from fairseq.hub_utils import GeneratorHubInterface
from omegaconf import OmegaConf
from tiny_models import model, translation_task

URL = "https://files.example/encoder.json"
LONG = "w3 " * 20


@functools.lru_cache(None)
def interface():
    task, cfg = translation_task(), OmegaConf.structured(FairseqConfig)
    cfg.generation.max_len_b = 4
    cfg.dataset.batch_size = 2
    return GeneratorHubInterface(cfg, task, [model(task, max_source_positions=9)]).eval()


def tokens(hub, sentences):
    return [hub.encode(sentence) for sentence in sentences]


def lists(hub, sentences):
    return [tokens(hub, sentence) for sentence in sentences]


def matrix(hub, sentences):
    return torch.stack(tokens(hub, sentences))


def one(hub, sentences):
    return hub.encode(sentences[0])


def few(hypotheses):
    if isinstance(hypotheses, dict):
        return sorted(hypotheses), hypotheses["tokens"].tolist(), round(hypotheses["score"].item(), 4)
    return type(hypotheses).__name__, [few(part) for part in hypotheses]


def generated(*arguments, sentences=("w1 w2", "w3 w4"), as_=tokens, keyword=False, **kwargs):
    def call(_):
        hub = interface()
        given = as_(hub, sentences)
        if keyword:
            return few(hub.generate(tokenized_sentences=given, **kwargs))
        return few(hub.generate(given, *arguments, **kwargs))

    return call


def sampled(*arguments, **kwargs):
    return lambda _: interface().sample(*arguments, **kwargs)


def scored(*arguments, **kwargs):
    """Of a task whose targets are its sources."""

    def call(_):
        hub = copy.copy(interface())
        hub.task = copy.copy(hub.task)
        words = hub.task.target_dictionary
        hub.task.build_dataset_for_inference = lambda tokens, lengths: LanguagePairDataset(
            tokens, lengths, words, tokens, lengths, words
        )
        return few(hub.score(*arguments, **kwargs))

    return call


def only_w5(sentence, prefix):
    return [9] if len(prefix) < 3 else [2]


def archive(name, as_=str):
    """What a road to a folder or an archive leads to."""

    def call(folder):
        (folder / "model").mkdir()
        (folder / "model" / "dict.txt").write_text("w0 1\n")
        with tarfile.open(folder / "model.tar.gz", "w:gz") as packed:
            packed.add(folder / "model", "model")
        found = file_utils.load_archive_file(as_(folder / name))
        return type(found).__name__, os.path.relpath(found, folder), sorted(os.listdir(found))

    return call


class Answer:
    status_code = 200

    def __init__(self):
        self.headers = {"ETag": "tag", "Content-Length": "4"}

    def iter_content(self, chunk_size):
        return [b"some", b""]


class Unreachable(OSError):
    """As the package's own errors are."""

    __module__ = "requests.exceptions"


def answering(*_arguments, **_kwargs):
    return Answer()


def failing(*_arguments, **_kwargs):
    raise Unreachable("no route")


def fetched(*, url=URL, network=answering, cached=None, as_=str, keywords=False, default=False):
    """A file behind a URL, with a package that answers, fails or is not there."""

    def call(folder):
        requests = types.ModuleType("requests")
        requests.head = requests.get = network
        requests.exceptions = types.SimpleNamespace(Timeout=TimeoutError)
        before = sys.modules.get("requests"), file_utils.PYTORCH_FAIRSEQ_CACHE
        sys.modules["requests"] = requests if network else None
        file_utils.PYTORCH_FAIRSEQ_CACHE = folder / "default"
        try:
            place = folder / ("default" if default else "cache")
            if cached:
                place.mkdir()
                (place / file_utils.url_to_filename(url, cached)).write_text("old")
            if keywords:
                found = file_utils.get_from_cache(url=url, cache_dir=as_(place))
            else:
                found = file_utils.get_from_cache(url, *(() if default else (as_(place),)))
            return type(found).__name__, os.path.relpath(found, folder), Path(found).read_text()
        finally:
            file_utils.PYTORCH_FAIRSEQ_CACHE = before[1]
            sys.modules.pop("requests")
            if before[0]:
                sys.modules["requests"] = before[0]

    return call


CONTRACTS = {
    "hub_places": {
        "a list": generated(),
        "one sentence": generated(sentences=["w1 w2"], as_=one),
        "a matrix": generated(as_=matrix),
        "a tuple": generated(as_=lambda hub, sentences: tuple(tokens(hub, sentences))),
        "by position": generated(2, False, False, None, None),
        "a beam": generated(beam=3),
        "by keywords": generated(keyword=True, beam=2, verbose=True),
        "generator's options": generated(2, sampling=True, nbest=1, seed=1, sampling_topk=1),
        "allowed tokens": generated(1, prefix_allowed_tokens_fn=only_w5),
        "steps' arguments": generated(1, inference_step_args={"prefix_tokens": torch.tensor([[5], [6]])}),
        "nothing to generate": generated(sentences=[]),
        "a list of lists": generated(as_=lists),
        "no sentences at all": lambda _: interface().generate(),
        "a wrong option of a batch": generated(2, False, False, None, None, None),
        "too long": generated(sentences=[LONG]),
        "aligned": generated(2, print_alignment="hard"),
        "skipping, where nothing is too long": generated(2, skip_invalid_size_inputs=True),
        "skipping, by position": generated(2, False, True),
        "a text": sampled("w1 w2"),
        "texts": sampled(["w1 w2", "w3"]),
        "texts by position": sampled(["w1 w2", "w3"], 2, False),
        "texts by keywords": sampled(sentences=["w1 w2"], beam=2, verbose=False, lenpen=2),
        "a tuple of texts": sampled(("w1", "w2")),
        "no texts": sampled([]),
        "no text": sampled(""),
        "unknown words": sampled("new newer"),
        "texts too long": sampled([LONG]),
        "texts, skipping": sampled(["w1 w2", "w3"], skip_invalid_size_inputs=True),
        "an iterator of texts": lambda _: interface().sample(iter(["w1 w2", "w3"])),
        "translated": lambda _: interface().translate(["w1", "w2"], 2),
        "a score": scored("w1 w2"),
        "scores": scored(["w1 w2", "w3"], False),
        "scores of lines": scored(["w1\nw2"], True),
        "scores, skipping": scored(["w1 w2", "w3"], skip_invalid_size_inputs=True),
        "scores, by keywords": scored(sentences=["w1"], replace_newline_with_eos=True),
        "a place for each": Purpose(
            lambda _: sampled([LONG, "w1"], skip_invalid_size_inputs=True)(_) == [None, interface().sample("w1")], True
        ),
        "options of one": Purpose(
            lambda _: generated(1, prefix_allowed_tokens_fn=only_w5, as_=one)(_)[1][0][1], [9, 9, 2]
        ),
    },
    "missing_folders": {
        "a folder": archive("model"),
        "a folder's path": archive("model", as_=lambda path: path),
        "an archive": archive("model.tar.gz"),
        "no archive": archive("model/dict.txt"),
        "no road": lambda _: file_utils.load_archive_file(None),
        "another scheme": lambda _: file_utils.load_archive_file("nobodys://model"),
        "by keyword": lambda folder: file_utils.load_archive_file(archive_file=str(folder)) == str(folder),
        "nothing": lambda _: file_utils.load_archive_file(),
        "no folder": Purpose(archive("nobodys"), Raises("FileNotFoundError")),
    },
    "downloads": {
        "a file": fetched(),
        "a file by keywords": fetched(keywords=True),
        "into a path": fetched(as_=lambda path: path),
        "into the default": fetched(default=True),
        "a file fetched before": fetched(cached="tag"),
        "a file fetched before in another version": fetched(cached="other"),
        "no network": fetched(network=failing),
        "no package": fetched(network=None),
        "another scheme": fetched(url="s3://bucket/file"),
        "no bucket": fetched(url="s3://"),
        "None": lambda folder: file_utils.get_from_cache(None, str(folder)),
        "nothing": lambda _: file_utils.get_from_cache(),
        "no network, fetched before": Purpose(lambda folder: fetched(network=failing, cached="tag")(folder)[2], "old"),
        "no package, fetched before": Purpose(lambda folder: fetched(network=None, cached="tag")(folder)[2], "old"),
    },
}
