"""What differs between the variants of a study, besides their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from fairseq_plugins.report.results import Member
from fairseq_plugins.report.translations import Translation

Members = Mapping[str, Sequence[Member]]


def of_translations(members: Members, baseline: str, data: Path, subset: str) -> dict[str, Any]:
    """Words by frequency, BLEU by length of the source, n-grams, and the sentences that differ most.

    Args:
        data: the folder of ``fairseq-preprocess``; without plain text beside it, what needs the source is left out.
    """
    from fairseq_plugins.report.ngrams import mean_matches, most_different
    from fairseq_plugins.report.sentences import most_different_sentences
    from fairseq_plugins.report.source_length import source_length
    from fairseq_plugins.report.translations import words_of
    from fairseq_plugins.report.words import word_frequency
    from fairseq_plugins.text.prepared import word_counts

    runs = {name: [cast(Translation, member.run) for member in group] for name, group in members.items()}
    first = runs[baseline][0]
    words = {name: [words_of(run.hypotheses, run.tokenizer) for run in group] for name, group in runs.items()}
    references = words_of(first.references, first.tokenizer)
    found: dict[str, Any] = {}
    languages = languages_of(data)
    sources = source_lines(data, first, subset) if languages else None
    if languages:
        counts = word_counts(data, languages[1], lambda line: " ".join(words_of([line], first.tokenizer)[0]))
        if counts is not None:
            found["word_frequency"] = word_frequency(words, references, counts)
    if sources is not None:
        lengths = [len(words) for words in words_of(sources, first.tokenizer)]
        units = {name: [member.units["BLEU"] for member in group] for name, group in members.items()}
        found["source_length"] = source_length(units, lengths)
    matches = {name: mean_matches(group, references) for name, group in words.items()}
    others = [name for name in members if name != baseline]
    found["ngrams"] = {name: most_different(matches[name], matches[baseline]) for name in others}
    chrf = {name: [member.units["chrF2"] for member in group] for name, group in members.items()}
    found["sentences"] = {
        name: most_different_sentences(runs[name], runs[baseline], (chrf[name], chrf[baseline]), sources)
        for name in others
    }
    return found


def of_language_models(
    members: Members, folders: Mapping[str, Sequence[Path]], data: Path, subset: str
) -> dict[str, Any]:
    """Loss by frequency of the symbol and by position.

    Args:
        folders: of the runs, which have their losses token by token.
        data: has the dictionary.

    Raises:
        UserError: the runs were evaluated on different tokens.
    """
    from fairseq_plugins.report.losses_by_block import check_same_tokens, read_losses
    from fairseq_plugins.report.symbols import position_in_block, symbol_frequencies, symbol_frequency

    losses = {name: [read_losses(folder, subset) for folder in folders[name]] for name in members}
    check_same_tokens({str(folder): found for name in members for folder, found in zip(folders[name], losses[name])})
    frequencies = symbol_frequencies(data / "dict.txt")
    return {"word_frequency": symbol_frequency(losses, frequencies), "position": position_in_block(losses)}


def languages_of(data: Path) -> tuple[str, str] | None:
    """Source and target of binarised translation data, by the name of its test set."""
    for path in sorted(data.glob("test.*-*.*.idx")):
        source, _, target = path.name.split(".")[1].partition("-")
        return source, target
    return None


def source_lines(data: Path, run: Translation, subset: str) -> list[str] | None:
    """The plain source of what was translated, where it lies beside the reference and is as long."""
    from fairseq_plugins.text.prepared import plain_lines

    languages = languages_of(data)
    lines = plain_lines(data, subset, languages[0]) if languages else None
    found = None if lines is None else list(lines)
    return found if found is not None and len(found) == len(run.references) else None
