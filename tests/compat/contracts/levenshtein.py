"""Levenshtein transformers: the extension libnat, which stock has no sources for."""

import torch
from answers import Purpose
from fairseq.models.nat import levenshtein_utils


def pair():
    return torch.tensor([[0, 5, 2]]), torch.tensor([[0, 5, 7, 2]])


def imported(_):
    from fairseq import libnat

    return [callable(getattr(libnat, name)) for name in ("suggested_ed2_path",)]


def labels(_):
    masked = levenshtein_utils._get_ins_targets(*pair(), 1, 3)
    return [part.long().tolist() for part in masked]


def loaded(*given, **named):
    def call(_):
        module, on_gpu = levenshtein_utils.load_libnat(*given, **named)
        return [hasattr(module, "suggested_ed2_path"), on_gpu]

    return call


CONTRACTS = {
    "missing_libnat": {
        "another name": lambda _: __import__("fairseq.libnobody"),
        "applying insertions": lambda _: [
            part.tolist()
            for part in levenshtein_utils._apply_ins_masks(*pair()[:1], None, torch.tensor([[0, 1]]), 1, 3, 2)[:1]
        ],
        "import": Purpose(imported, [True]),
        "labels": Purpose(labels, [[[0, 0, 1, 0]], [[0, 5, 3, 2]], [[0, 1]]]),
    },
    "libnat_said_once": {
        "an argument": loaded("cpu"),
        "a named one": loaded(device="cpu"),
        "loaded": Purpose(loaded(), [True, False]),
        "again": Purpose(loaded(), [True, False]),
    },
}
