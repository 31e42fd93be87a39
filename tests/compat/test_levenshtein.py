"""Training of Levenshtein and insertion transformers without fairseq's C++ extension libnat."""

import itertools
import random
import re
import sys
import types

import fairseq
import pytest
import torch
from fairseq.models.nat import insertion_transformer, levenshtein_utils
from running import SIZES, forked

from fairseq_plugins.compat import levenshtein, libnat

BOS, PAD, EOS, UNK = range(4)
END, GONE = 7, 9  # what stands for nothing to insert, and for a deleted token
RANK = {"insert": 0, "delete": 1, "keep": 2}


def every_script(x, y):
    """All ways to turn x into y: of each operation its name, its place in x and its token."""
    if not x and not y:
        yield ()
    if y:
        yield from ((*script, ("insert", len(x), y[-1])) for script in every_script(x, y[:-1]))
    if x:
        yield from ((*script, ("delete", len(x) - 1, x[-1])) for script in every_script(x[:-1], y))
    if x and y and x[-1] == y[-1]:
        yield from ((*script, ("keep", len(x) - 1, x[-1])) for script in every_script(x[:-1], y[:-1]))


def oracle(x, y):
    """By enumeration: the distance and the two forms of labels of the script that the extension chooses."""

    def cost(script):
        return sum(operation != "keep" for operation, _, _ in script)

    script = min(every_script(x, y), key=lambda s: (cost(s), [RANK[operation] for operation, _, _ in reversed(s)]))
    if not x:
        return cost(script), [list(y), []], [list(y)]
    inserted = [[token for name, at, token in script if (name, at) == ("insert", place)] for place in range(len(x) + 1)]
    deleted = [int(name == "delete") for name, _, _ in script if name != "insert"]
    both = [[GONE] * (deleted[place : place + 1] == [1]) for place in range(len(x) + 1)]
    edits = [words + marks for words, marks in zip(inserted, both)]
    return cost(script), [*[a or [END] for a in inserted], deleted], [a or [END] for a in edits]


def test_labels_equal_those_found_by_enumeration():
    """All pairs of up to three tokens of two kinds, and longer ones by chance, in one batch of many lengths."""
    short = [list(x) for length in range(4) for x in itertools.product((4, 5), repeat=length)]
    draw = random.Random(1)
    pairs = [*itertools.product(short, short)]
    pairs += [tuple([draw.randrange(4, 7) for _ in range(draw.randrange(6))] for _ in "xy") for _ in range(60)]
    xs, ys = map(list, zip(*pairs))
    distances, labels, edits = map(list, zip(*(oracle(x, y) for x, y in pairs)))
    assert libnat.compute_ed2(xs, ys) == distances
    assert libnat.suggested_ed2_path(xs, ys, END) == labels
    assert libnat.suggested_ed2_path_with_delete(xs, ys, END, GONE) == edits


def test_what_the_extension_accepts_and_raises():
    assert libnat.suggested_ed2_path([], [[1]], END) == []
    assert libnat.suggested_ed2_path([[]], [[]], END) == [[[], []]]
    assert libnat.suggested_ed2_path([(1, 2)], [range(3), [5]], END) == [[[0], [END], [END], [0, 0]]]
    assert libnat.compute_ed2([[1, 2]], ([2, 1],)) == [2]
    for function, rest in ((libnat.compute_ed2, ()), (libnat.suggested_ed2_path, (END,))):
        with pytest.raises(IndexError):
            function([[1], [2]], [[1]], *rest)


def noisy(draw, targets):
    """Targets that have lost some words, as the task makes them."""
    kept = [[w for w in line if w in (BOS, EOS) or draw.random() < 0.5] for line in targets]
    return tensor(kept), tensor(targets)


def tensor(lines):
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(line) for line in lines], True, PAD)


def test_fairseqs_targets_lead_from_the_noise_to_the_sentence(capsys):
    """Filling in by fairseq's own functions what they say is missing gives the sentence, and so does deleting."""
    draw = random.Random(2)
    targets = [[BOS, *(draw.randrange(4, 8) for _ in range(draw.randrange(1, 9))), EOS] for _ in range(50)]
    before, after = noisy(draw, targets)
    missing, masked, counts = levenshtein_utils._get_ins_targets(before, after, PAD, UNK)
    filled, _ = levenshtein_utils._apply_ins_masks(before.clone(), None, counts.clone(), PAD, UNK, EOS)
    assert torch.equal(filled, masked)
    assert torch.equal(filled.masked_scatter(filled.eq(UNK), after[missing]), after)

    # the insertion transformer's: a share for every missing word, the end symbol where none is missing
    wanted = insertion_transformer._get_ins_targets(before, after, PAD, UNK, 8)
    assert torch.equal((wanted[..., 4:] > 0).any(-1), counts > 0)
    assert torch.equal(wanted[..., PAD] > 0, (counts == 0) & before[:, 1:].ne(PAD))

    before = torch.nn.functional.pad(
        before, (0, after.size(1) - before.size(1)), value=PAD
    )  # one width, as in the model
    superfluous = levenshtein_utils._get_del_targets(after, before, PAD).bool()
    rest, _, _ = levenshtein_utils._apply_del_words(after, None, None, superfluous, PAD, BOS, EOS)
    assert torch.equal(rest, before)
    assert capsys.readouterr().out.count("fall back to CPU version") <= 1


def test_only_a_missing_extension_is_replaced(monkeypatch):
    true = types.ModuleType("fairseq.libnat")
    monkeypatch.setitem(sys.modules, "fairseq.libnat", true)
    monkeypatch.setattr(fairseq, "libnat", true, raising=False)
    assert levenshtein.missing_libnat() is False
    assert fairseq.libnat is true
    # one that does not import
    monkeypatch.delattr(fairseq, "libnat")
    monkeypatch.setitem(sys.modules, "fairseq.libnat", None)
    for _ in range(2):
        assert levenshtein.missing_libnat() is True
        assert fairseq.libnat is sys.modules["fairseq.libnat"] is libnat


@pytest.mark.parametrize("arch", ["levenshtein_transformer", "insertion_transformer"])
def test_training_and_translation(arch, corpus, plugin, tmp_path):
    data = [f"{corpus}/bin", "--user-dir", plugin, "--task", "translation_lev", "--cpu"]
    sizes = [size for size in SIZES if size != "--share-all-embeddings"]
    early = ["--early-exit", "1,1,1"] if arch.startswith("lev") else []
    training = ["--criterion", "nat_loss", "--max-update", "3", "--max-tokens", "160", "--log-interval", "1"]
    optimizer = ["--optimizer", "adam", "--log-format", "simple", "--num-workers", "0", "--save-dir", tmp_path]
    said = forked("train", *data, "--arch", arch, *sizes, *early, *training, *optimizer)
    losses = [float(loss) for loss in re.findall(r" loss=([\d.]+)", said)]
    assert len(losses) == 3
    assert said.count("fall back to CPU version") <= 1
    said = forked("generate", *data, "--path", tmp_path / "checkpoint_last.pt", "--beam", "1")
    assert len(re.findall(r"^H-\d+", said, flags=re.M)) == 30
