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
            names = [name for name in dir(np) if name[:2] != "__" and name != "percentile"]
            return [name for name in names if getattr(view, name) is not getattr(np, name)]

    return call


def named(module):
    def call(_):
        view = importlib.import_module(f"fairseq.{module}").np
        return [np.dtype(kind).kind for kind in (view.int, view.float, view.compat.long)]

    return call


NUMBERS = [[1, 2, 4], [8, 16, 32]]


def percentile(*arguments, **kwargs):
    def call(_):
        found = data_utils.np.percentile(*arguments, **kwargs)
        return type(found).__name__, np.asarray(found).dtype.kind, np.asarray(found).tolist()

    return call


CONTRACTS = {
    "numpy_names": {
        **{f"all others in {module}": same_names(module) for module in MODULES},
        "batches": lambda _: [
            list(map(int, batch))
            for batch in data_utils.batch_by_size(np.arange(5), lambda i: 2 + i, max_tokens=8, max_sentences=2)
        ],
        "percentile": percentile(NUMBERS, 30),
        "percentile by position": percentile(NUMBERS, [10, 90], 1, None, False, "lower", True),
        "percentile by keywords": percentile(a=np.array(NUMBERS), q=(50,), axis=0, method="nearest", keepdims=True),
        "percentile of nothing": percentile([], 50),
        "percentile beyond a hundred": percentile(NUMBERS, 101),
        "percentile by no method": percentile(NUMBERS, 50, method="nobodys"),
        "percentile without arguments": percentile(),
        "an unknown argument": percentile(NUMBERS, 50, nobodys=1),
        "percentile's former argument": Purpose(
            percentile(NUMBERS, [50, 100], interpolation="lower"), ("ndarray", "i", [4, 32])
        ),
        "no such name": lambda _: data_utils.np.nobodys,
        **{f"the lost ones in {module}": Purpose(named(module), ["i", "f", "i"]) for module in MODULES},
    }
}
