"""What is left out of an evaluation."""

import numpy as np
from answers import Purpose, Raises
from fairseq.data import FairseqDataset, data_utils
from fairseq.data.iterators import EpochBatchIterator
from fairseq.tasks import FairseqTask


class Data(FairseqDataset):
    sizes = np.array([3, 5, 2, 9])

    def __getitem__(self, index):
        return index

    def __len__(self):
        return 4

    def size(self, index):
        return int(self.sizes[index])

    def num_tokens(self, index):
        return int(self.sizes[index])

    def collater(self, samples):
        return samples


def filtered(*arguments, **kwargs):
    def call(_):
        indices = FairseqTask(None).filter_indices_by_size(*arguments, **kwargs)
        return type(indices).__name__, [int(index) for index in indices]

    return call


def batched(*arguments, **kwargs):
    def call(_):
        batches = data_utils.batch_by_size(*arguments, **kwargs)
        return type(batches).__name__, [[int(index) for index in batch] for batch in batches]

    return call


def epoch(*arguments, **kwargs):
    def call(_):
        itr = EpochBatchIterator(Data(), list, [[0, 1], [2, 3]], seed=3)
        made = itr.next_epoch_itr(*arguments, **kwargs)
        return type(made).__name__, len(made), list(made), itr.end_of_epoch(), itr.epoch

    return call


ALL = np.arange(4)
SIZES = Data.sizes.__getitem__

CONTRACTS = {
    "left_out_data": {
        "an epoch": epoch(),
        "an epoch in order": epoch(False),
        "an epoch's options": epoch(True, True, False),
        "an epoch by keywords": epoch(shuffle=False, fix_batches_to_gpus=True, set_dataset_epoch=True),
        "an epoch with an unknown option": epoch(nobodys=1),
        "no limit": filtered(ALL, Data()),
        "all fit": filtered(ALL, Data(), 9),
        "some fit": filtered(ALL, Data(), 4, True),
        "some fit, by keywords": filtered(indices=ALL, dataset=Data(), max_positions=(4,), ignore_invalid_inputs=True),
        "some must not be left out": filtered(ALL, Data(), 4),
        "none fit": filtered(ALL, Data(), 1, True),
        "a limit that is none": filtered(ALL, Data(), "four"),
        "nothing to filter": filtered(),
        "batches": batched(ALL, SIZES, max_tokens=10),
        "batches by position": batched(ALL, SIZES, None, 10, 2, 1, None),
        "batches of a list": batched([3, 1], SIZES, max_sentences=1),
        "batches of known sizes": batched(ALL, None, [3, 5, 2, 9], max_tokens=12.0),
        "batches without a limit": batched(ALL, SIZES),
        "batches of fixed shapes": batched(ALL, SIZES, fixed_shapes=[(2, 9)]),
        "no batches": batched([], SIZES, max_tokens=10),
        "a sentence too long": batched(ALL, SIZES, max_tokens=8),
        "sizes that fail": batched(ALL, {}.__getitem__, max_tokens=8),
        "nothing to batch": batched(),
        "a sentence too long in a sentence": Purpose(batched(ALL, SIZES, None, 8), Raises("EvaluationError")),
    }
}
