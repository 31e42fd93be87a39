"""The hub interface: what ``from_pretrained`` gives, and the files that it fetches."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch

from .registry import mark, marked, repair


@repair("none known")
def hub_places() -> bool:
    """``skip_invalid_size_inputs`` makes the hub return fewer results than sentences, without saying whose are missing.

    A sentence that is too long for the model keeps its place: ``translate``, ``sample`` and ``score`` give None for
    it, ``generate`` an empty list of hypotheses; fairseq's warning names its position. ``generate`` of one sentence's
    tokens heeds every option that it heeds for a list; it dropped three of them.
    """
    from fairseq.hub_utils import GeneratorHubInterface

    original = GeneratorHubInterface.generate
    if marked(original):
        return True
    signature = inspect.signature(original)

    def generate(self: Any, tokenized_sentences: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if hasattr(tokenized_sentences, "dim") and tokenized_sentences.dim() == 1:
            return self.generate(tokenized_sentences.unsqueeze(0), *args, **kwargs)[0]
        given = signature.bind(self, tokenized_sentences, *args, **kwargs).arguments
        if given.get("verbose") and str(kwargs.get("print_alignment")) == "soft":
            raise ValueError(
                'verbose=True logs hard alignments only; leave it out and read "alignment" of generate()\'s hypotheses'
            )
        if not given.get("skip_invalid_size_inputs"):
            return original(self, tokenized_sentences, *args, **kwargs)
        batches = self._build_batches(tokenized_sentences, True)
        fitting = sorted(number for batch in batches for number in batch["id"].tolist())
        results: list[Any] = [[] for _ in tokenized_sentences]
        if fitting:
            kept = [tokenized_sentences[number] for number in fitting]
            for number, hypotheses in zip(fitting, original(self, kept, *args, **kwargs)):
                results[number] = hypotheses
        return results

    def sample(self: Any, sentences: Any, beam: int = 1, verbose: bool = False, **kwargs: Any) -> Any:
        if isinstance(sentences, str) or not kwargs.get("skip_invalid_size_inputs"):
            return stock_sample(self, sentences, beam, verbose, **kwargs)
        found = self.generate([self.encode(sentence) for sentence in sentences], beam, verbose, **kwargs)
        return [self.decode(hypotheses[0]["tokens"]) if hypotheses else None for hypotheses in found]

    def score(self: Any, sentences: Any, replace_newline_with_eos: bool = False, **kwargs: Any) -> Any:
        if isinstance(sentences, str) or not kwargs.get("skip_invalid_size_inputs"):
            return stock_score(self, sentences, replace_newline_with_eos, **kwargs)
        by_line = [sentence.splitlines() if replace_newline_with_eos else [sentence] for sentence in sentences]
        tokens = [torch.cat([self.encode(line) for line in lines]) for lines in by_line]
        found = self.generate(tokens, score_reference=True, **kwargs)
        return [hypotheses[0] if hypotheses else None for hypotheses in found]

    stock_sample, stock_score = GeneratorHubInterface.sample, GeneratorHubInterface.score
    GeneratorHubInterface.generate = mark(generate, original)
    GeneratorHubInterface.sample = mark(sample, stock_sample)
    GeneratorHubInterface.score = mark(score, stock_score)
    return True


@repair("none known")
def missing_folders() -> bool:
    """``from_pretrained`` of a folder that is not there ends in an error about ``NoneType``, which names nothing."""
    from fairseq import file_utils

    original = file_utils.load_archive_file
    if marked(original):
        return True

    def load_archive_file(archive_file: Any) -> Any:
        found = original(archive_file)
        if found is None:
            raise FileNotFoundError(f"{archive_file} is no folder or archive here, nor can it be fetched")
        return found

    file_utils.load_archive_file = mark(load_archive_file, original)
    return True


@repair("none known")
def downloads() -> bool:
    """Files behind a URL, as ``--bpe gpt2`` has by default, need a package that nothing installs, and a network.

    Without either a file that was fetched before is taken from the cache, as fairseq means to; where there is none
    the error names the package, the URL and the options that take local files. Local files need neither.
    """
    from fairseq import file_utils

    original = file_utils.get_from_cache
    if marked(original):
        return True

    def get_from_cache(url: str, cache_dir: Any = None) -> Any:
        try:
            return original(url, cache_dir)
        except ModuleNotFoundError as error:
            if error.name not in ("requests", "boto3", "botocore"):
                raise
            reason: Exception = error
            remedy = f"fetching it needs the package {error.name} (pip install {error.name})"
        except OSError as error:  # requests' errors are of this kind
            if not type(error).__module__.startswith("requests"):
                raise
            reason, remedy = error, f"it cannot be fetched ({error})"
        folder = Path(cache_dir or file_utils.PYTORCH_FAIRSEQ_CACHE)
        cached = [path for path in folder.glob(file_utils.url_to_filename(url) + "*") if path.suffix != ".json"]
        if cached:
            return str(max(cached, key=lambda path: path.stat().st_mtime))
        raise type(reason)(
            f"{url} is not in {folder}, and {remedy}. Or name local files: --gpt2-encoder-json and --gpt2-vocab-bpe "
            "for --bpe gpt2, gpt2_encoder_json= and gpt2_vocab_bpe= for from_pretrained"
        ) from reason

    file_utils.get_from_cache = mark(get_from_cache, original)
    return True
