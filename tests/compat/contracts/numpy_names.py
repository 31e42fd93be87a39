"""Names that numpy has no more."""

import importlib
import warnings

import numpy as np
from answers import Purpose
from fairseq.data import data_utils

MODULES = ["data.data_utils", "data.language_pair_dataset", "data.token_block_dataset", "modules.dynamic_crf_layer"]


def same_names(module):
    def call(_):
        view = importlib.import_module(f"fairseq.{module}").np
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [name for name in dir(np) if name[:2] != "__" and getattr(view, name) is not getattr(np, name)]

    return call


def named(module):
    def call(_):
        view = importlib.import_module(f"fairseq.{module}").np
        return [np.dtype(kind).kind for kind in (view.int, view.float, view.compat.long)]

    return call


CONTRACTS = {
    "numpy_names": {
        **{f"all others in {module}": same_names(module) for module in MODULES},
        "batches": lambda _: [
            list(map(int, batch))
            for batch in data_utils.batch_by_size(np.arange(5), lambda i: 2 + i, max_tokens=8, max_sentences=2)
        ],
        "no such name": lambda _: data_utils.np.nobodys,
        **{f"the lost ones in {module}": Purpose(named(module), ["i", "f", "i"]) for module in MODULES},
    }
}
