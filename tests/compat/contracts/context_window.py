"""``--context-window``."""

import torch
from answers import Purpose, Raises
from fairseq.data import LMContextWindowDataset, indexed_dataset
from tiny_models import dictionary, language_modeling_task, plain

LENGTHS = [4, 4, 4, 3]


class Blocks(torch.utils.data.Dataset):
    """Blocks of a stream: tokens and the ones after them."""

    def __getitem__(self, index):
        start = 4 + sum(LENGTHS[:index])
        source = torch.arange(start, start + LENGTHS[index])
        return {"id": index, "source": source, "target": source + 1}

    def __len__(self):
        return len(LENGTHS)

    def collater(self, samples):
        if not samples or not isinstance(samples[0], dict):
            samples = [self[index] for index in samples or [0]]
        longest = max(len(sample["source"]) for sample in samples)
        source, target = (torch.ones(len(samples), longest, dtype=torch.long) for _ in range(2))
        for row, sample in enumerate(samples):
            source[row, : len(sample["source"])] = sample["source"]
            target[row, : len(sample["source"])] = sample["target"]
        lengths = torch.tensor([len(sample["source"]) for sample in samples])
        return {"net_input": {"src_tokens": source, "src_lengths": lengths}, "target": target}


def batches(*numbers, window=2, samples=None, keyword=False):
    """Batches made one after the other by one process."""

    def call(_):
        data = LMContextWindowDataset(Blocks(), 4, window, 1)
        found = []
        for batch in numbers:
            given = (samples or (lambda batch: [data[number] for number in batch]))(batch)
            found.append(plain(data.collater(samples=given) if keyword else data.collater(given)))
        return found

    return call


def stored(folder, split="train"):
    words = dictionary()
    words.save(str(folder / "dict.txt"))
    builder = indexed_dataset.make_builder(str(folder / f"{split}.bin"), "mmap", len(words))
    for line in ([4, 5, 6, 2], [7, 8, 2], [9, 10, 2]):
        builder.add_item(torch.tensor(line))
    builder.finalize(str(folder / f"{split}.idx"))


def read(*arguments, size=4, changes=None, **kwargs):
    """What a task loads, block by block."""

    def call(folder):
        stored(folder)
        task = language_modeling_task(tokens_per_sample=size, dataset_impl="mmap", use_plasma_view=False)
        task.args.data = str(folder)
        for name, value in (changes or {}).items():
            setattr(task.args, name, value)
        result = task.load_dataset(*arguments, **kwargs)
        data = task.dataset("train")
        return result, type(data).__name__, [plain(data[number]["source"]) for number in range(len(data))]

    return call


CONTRACTS = {
    "context_of_blocks": {
        "one by one": batches([0], [1], [2], [3]),
        "two by two": batches([0, 1], [2, 3]),
        "all at once": batches([0, 1, 2, 3]),
        "a window of a token": batches([0], [1], window=1),
        "a window of more than a block": batches([0], [1], [2], window=6),
        "by keyword": batches([0], [1], keyword=True),
        "a tuple": batches([0, 1], samples=lambda batch: tuple(map(Blocks().__getitem__, batch))),
        "samples without a number": batches(
            [0], [1], samples=lambda batch: [{k: v for k, v in Blocks()[n].items() if k != "id"} for n in batch]
        ),
        "samples of another kind": batches([0, 1], [2], samples=lambda batch: batch),
        "no samples": batches([0], samples=lambda batch: []),
        "None": batches([0], samples=lambda batch: None),
        "nothing": lambda _: LMContextWindowDataset(Blocks(), 4, 2, 1).collater(),
        "in another order": Purpose(
            lambda _: batches([2], [1])(_) == [batches([0], [1], [2])(_)[2], batches([0], [1])(_)[1]], True
        ),
    },
    "window_of_a_block": {
        "blocks": read("train"),
        "by position": read("train", 1, False),
        "by keywords": read(split="train", epoch=3, combine=True),
        "a keyword of nobody": read("train", nobodys=1),
        "sentences": read("train", changes={"sample_break_mode": "complete"}),
        "one token": read("train", size=1),
        "no such data": read("valid"),
        "no such mode": read("train", changes={"sample_break_mode": "nobodys"}),
        "nothing": read(),
        "nothing left": Purpose(read("train", size=0), Raises("ValueError")),
        "less than nothing left": read("train", size=-2),
    },
}
