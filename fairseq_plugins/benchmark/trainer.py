"""One system that trains: a fairseq Trainer with random batches."""

from __future__ import annotations

import random
from typing import Any

import torch

from .authors import replace_attention
from .flops import count_flops
from .sizes import write_dictionaries
from .stepping import Stepping
from .worker import Memory


def build_task(words: list[str], vocabulary: int, data: str) -> tuple[Any, Any]:
    """The configuration and the task of ``fairseq-train data words...``.

    Args:
        words: of ``fairseq-train``, after the data.
        vocabulary: entries of the dictionaries, which are written.
        data: a folder.
    """
    from fairseq import options, tasks
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    write_dictionaries(data, vocabulary)
    cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), [data, *words]))
    return cfg, tasks.setup_task(cfg.task)


class Training(Stepping):
    """A fairseq Trainer with random batches of realistic lengths.

    Args:
        words: of ``fairseq-train``, after the data.
        data: a folder for the dictionaries.
        vocabulary, length, batches: see :class:`.sizes.Size`; ``batches`` differ and are taken in turn.
        authors: attention is computed as the code of the neural QKV paper did: :mod:`.authors`.
        threads, device, memory: see :class:`.stepping.Stepping`.
    """

    def __init__(
        self,
        words: list[str],
        data: str,
        vocabulary: int,
        length: int,
        batches: int,
        authors: bool,
        threads: int,
        device: str,
        memory: Memory,
    ) -> None:
        from fairseq.trainer import Trainer

        super().__init__(threads, device, memory)
        cfg, self.task = build_task([*words, *(["--cpu"] if device == "cpu" else [])], vocabulary, data)
        torch.manual_seed(cfg.common.seed)
        self.model = self.task.build_model(cfg.model)
        if authors:
            replace_attention(self.model)
        criterion = self.task.build_criterion(cfg.criterion)
        self.trainer = Trainer(cfg, self.task, self.model, criterion)
        self.trainer.begin_epoch(1)
        self.batches = make_batches(self.task, cfg.dataset.max_tokens, length, batches)

    def run(self, batch: dict[str, Any]) -> dict[str, float]:
        """One update, and the tokens that it is of."""
        self.trainer.train_step([batch])
        return {"tokens": batch["ntokens"]}

    def gate(self) -> dict[str, Any]:
        """Loss and the norm of every gradient on the first batch, without dropout."""
        from fairseq.modules.fairseq_dropout import FairseqDropout

        kept = {}
        for module in self.trainer.model.modules():
            if isinstance(module, FairseqDropout):
                kept[module], module.p = module.p, 0.0
        self.trainer.model.train()
        self.trainer.zero_grad()
        sample, _ = self.trainer._prepare_sample(self.batches[0])
        loss, size, _ = self.trainer.criterion(self.trainer.model, sample)
        loss.backward()
        gradients = {
            name: parameter.grad.double().norm().item() / float(size)
            for name, parameter in self.model.named_parameters()
            if parameter.grad is not None
        }
        self.trainer.zero_grad()
        for module, p in kept.items():
            module.p = p
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        return {
            "loss": loss.item() / float(size),
            "gradients": gradients,
            "parameters": parameters,
            "bf16": bool(getattr(self.trainer.criterion, "autocast_bf16", False)),
        }

    def flops(self) -> dict[str, float]:
        """Floating-point operations of the matrix products of one update, by torch's counter."""
        batch = self.batches[0]
        return {"flops": float(count_flops(lambda: self.run(batch))), "tokens": batch["ntokens"]}

    def memory(self) -> dict[str, float]:
        """Peak bytes of an update beyond what the process holds without a model: weights, optimizer, activations."""
        self.process_memory.forget_peak()
        self.step()
        return {"bytes": self.process_memory.peak()}


def make_batches(task: Any, max_tokens: int, length: int, number: int) -> list[dict[str, Any]]:
    """Random batches of a task: sentences whose lengths scatter in translation, full sequences else."""
    rng = random.Random(1)
    words = len(task.source_dictionary)

    def tokens(count: int) -> torch.Tensor:
        return torch.tensor([rng.randrange(4, words) for _ in range(count)])

    if hasattr(task, "target_dictionary") and task.target_dictionary is not None and hasattr(task.cfg, "target_lang"):
        return [translation_batch(task, tokens, rng, max_tokens, length) for _ in range(number)]
    return [masked_batch(task, tokens, rng, max_tokens, length) for _ in range(number)]


def translation_batch(task: Any, tokens: Any, rng: random.Random, max_tokens: int, length: int) -> dict[str, Any]:
    """Sentences of about one length, as fairseq puts them together: left-padded sources, right-padded targets."""
    from fairseq.data.language_pair_dataset import collate

    about = max(4, round(rng.lognormvariate(0, 0.4) * length))
    samples: list[dict[str, Any]] = []
    longest = 0
    while True:
        sizes = [max(2, about + rng.randint(-2, 2)) for _ in range(2)]
        longest = max(longest, *(size + 1 for size in sizes))
        if (len(samples) + 1) * longest > max_tokens:
            break
        eos = torch.tensor([task.source_dictionary.eos()])
        source, target = (torch.cat([tokens(size), eos]) for size in sizes)
        samples.append({"id": len(samples), "source": source, "target": target})
    dictionary = task.source_dictionary
    return collate(samples, pad_idx=dictionary.pad(), eos_idx=dictionary.eos())


def masked_batch(task: Any, tokens: Any, rng: random.Random, max_tokens: int, length: int) -> dict[str, Any]:
    """Full sequences with 15 % of their tokens masked."""
    dictionary = task.source_dictionary
    rows = max(1, max_tokens // length)
    source = tokens(rows * length).view(rows, length)
    masked = torch.tensor([rng.random() < 0.15 for _ in range(rows * length)]).view(rows, length)
    target = source.masked_fill(~masked, dictionary.pad())
    source = source.masked_fill(masked, task.mask_idx)
    return {
        "id": torch.arange(rows),
        "nsentences": rows,
        "ntokens": rows * length,
        "net_input": {"src_tokens": source, "src_lengths": torch.full((rows,), length)},
        "target": target,
    }
