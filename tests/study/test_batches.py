"""What a training reads, known before it runs."""

import hashlib
import itertools
import json

import pytest
from fairseq.data import iterators
from fairseq.trainer import Trainer

from fairseq_plugins.errors import UserError
from fairseq_plugins.study.batches import Batches
from fairseq_plugins.study.checks import parsed
from fairseq_plugins.study.control import check_batches
from fairseq_plugins.study.recipes import Training
from fairseq_plugins.study.spec import Study, Variant


def arguments(bin_dir, *options, arch="transformer_baseline_tiny"):
    sizes = [word for side in ("encoder", "decoder") for word in (f"--{side}-layers", "1", f"--{side}-embed-dim", "16")]
    words = (str(bin_dir), "--arch", arch, *sizes, "--share-all-embeddings", "--optimizer", "adam", "--cpu")
    return parsed(Training("translation", (*words, "--max-tokens", "300", "--update-freq", "2", *options), 24), "")


def test_the_order_is_that_of_fairseqs_trainer(bin_dir):
    """Over epochs, of which the last update takes one batch where their number is odd."""
    args = arguments(bin_dir, "--seed", "3")
    batches = Batches(args)
    model = batches.model()
    trainer = Trainer(batches.cfg, batches.task, model, batches.task.build_criterion(batches.cfg.criterion))
    epochs = trainer.get_train_iterator(epoch=1, load_dataset=False)
    seen, first, updates = [], None, 0
    for _ in range(3):
        taken = []
        for grouped in iterators.GroupedIterator(epochs.next_epoch_itr(fix_batches_to_gpus=False), 2):
            taken += [sample["id"].tolist() for sample in grouped]
            first = first or grouped[0]
            updates += 1
        seen.append([sorted(batch) for batch in taken])
    ordered = [batches.iterator(model).ordered_batches(epoch, False, True) for epoch in (1, 2, 3)]
    assert [[sorted(map(int, batch)) for batch in epoch] for epoch in ordered] == seen
    assert seen[0] != seen[1]
    expected = hashlib.sha256()
    for epoch in ordered:
        expected.update(json.dumps([[int(number) for number in batch] for batch in epoch]).encode())
    for tensor in (batches.some(model)[0]["net_input"]["src_tokens"], batches.some(model)[0]["target"]):
        expected.update(tensor.numpy().tobytes())
    assert batches.fingerprint(model, updates) == expected.hexdigest()


def test_fingerprints_tell_what_differs(bin_dir):
    def fingerprint(batches, updates=9):
        return batches.fingerprint(batches.model(), updates)

    first = Batches(arguments(bin_dir))
    same = fingerprint(first)
    neural = Batches(arguments(bin_dir, arch="transformer_neuralqkv_tiny"))
    assert fingerprint(neural) == same, "the model has no say in it"
    others = [fingerprint(Batches(arguments(bin_dir, *more))) for more in (("--seed", "2"), ("--max-tokens", "280"))]
    others.append(fingerprint(first, updates=8))
    assert all(one != other for one, other in itertools.combinations([same, *others], 2))


def test_a_variant_that_reads_other_batches_is_refused(bin_dir, tmp_path):
    names = {"baseline": Variant("baseline", "s.yaml:3"), "short": Variant("short", "s.yaml:4")}
    study = Study(tmp_path / "s.yaml", "", None, tmp_path, "", (), (), names, "baseline", (1,), "test")
    described = {"baseline": arguments(bin_dir), "short": arguments(bin_dir, "--max-source-positions", "6")}
    for args in described.values():
        args.max_update = 9
    with pytest.raises(UserError, match=r"s\.yaml:4: short reads other batches than baseline with seed 5"):
        check_batches(study, described, 5)
    described["short"] = described["baseline"]
    assert check_batches(study, described, 5)["updates"] == 9
