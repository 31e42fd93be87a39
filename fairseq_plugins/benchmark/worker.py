"""One system in a process of its own: it is built once, and does what the benchmark asks line by line.

``python -m fairseq_plugins.benchmark.worker`` reads JSON objects from stdin and answers each with one on stdout:
``{"do": "build", ...}``, then ``gate``, ``step``, ``memory`` and ``flops`` in any order.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List

import torch

import fairseq_plugins  # noqa: F401  stock fairseq, too, runs with the repairs that it needs


class Training:
    """A fairseq Trainer with random batches of realistic lengths.

    Args:
        words: of ``fairseq-train``, after the data.
        vocabulary, length, batches: see :class:`.sizes.Size`; ``batches`` differ and are taken in turn.
        threads: of the CPU.
        device: ``cpu`` or ``cuda``.
    """

    #: resident bytes of the process before it had a model
    without = 0

    def __init__(self, words: List[str], vocabulary: int, length: int, batches: int, threads: int, device: str) -> None:
        from fairseq import options, tasks
        from fairseq.dataclass.utils import convert_namespace_to_omegaconf
        from fairseq.trainer import Trainer

        torch.set_num_threads(threads)
        self.device = device
        with tempfile.TemporaryDirectory() as data:
            for name in ("dict.txt", "dict.de.txt", "dict.en.txt"):
                lines = "".join(f"symbol{number} 1\n" for number in range(vocabulary - 4))
                Path(data, name).write_text(lines, encoding="utf-8")
            args = options.parse_args_and_arch(
                options.get_training_parser(), [data, *words, *(["--cpu"] if device == "cpu" else [])]
            )
            cfg = convert_namespace_to_omegaconf(args)
            self.task = tasks.setup_task(cfg.task)
        torch.manual_seed(cfg.common.seed)
        self.model = self.task.build_model(cfg.model)
        criterion = self.task.build_criterion(cfg.criterion)
        self.trainer = Trainer(cfg, self.task, self.model, criterion)
        self.trainer.begin_epoch(1)
        self.batches = make_batches(self.task, args.max_tokens, length, batches)
        self.taken = 0

    def step(self) -> Dict[str, float]:
        """One update: seconds, and the tokens that it was of."""
        batch = self.batches[self.taken % len(self.batches)]
        self.taken += 1
        self.synchronise()
        start = time.perf_counter()
        self.trainer.train_step([batch])
        self.synchronise()
        return {"seconds": time.perf_counter() - start, "tokens": batch["ntokens"]}

    def gate(self) -> Dict[str, Any]:
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
        return {"loss": loss.item() / float(size), "gradients": gradients, "parameters": parameters}

    def flops(self) -> Dict[str, float]:
        """Floating-point operations of the matrix products of one update, by torch's counter."""
        from torch.utils.flop_counter import FlopCounterMode

        counter = FlopCounterMode(display=False)
        with counter:
            self.trainer.train_step([self.batches[0]])
        return {"flops": float(counter.get_total_flops()), "tokens": self.batches[0]["ntokens"]}

    def memory(self) -> Dict[str, float]:
        """Peak bytes of an update beyond what the process holds without a model: weights, optimizer, activations."""
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self.step()
            return {"bytes": float(torch.cuda.max_memory_allocated())}
        Path("/proc/self/clear_refs").write_text("5")  # the peak of resident memory begins anew
        self.step()
        return {"bytes": float(resident("VmHWM") - self.without)}

    def synchronise(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


def resident(name: str) -> int:
    """A figure of this process's memory (Linux), in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")


def make_batches(task: Any, max_tokens: int, length: int, number: int) -> List[Dict[str, Any]]:
    """Random batches of a task: sentences whose lengths scatter in translation, full sequences else."""
    rng = random.Random(1)
    words = len(task.source_dictionary)

    def tokens(count: int) -> torch.Tensor:
        return torch.tensor([rng.randrange(4, words) for _ in range(count)])

    if hasattr(task, "target_dictionary") and task.target_dictionary is not None and hasattr(task.cfg, "target_lang"):
        return [translation_batch(task, tokens, rng, max_tokens, length) for _ in range(number)]
    return [masked_batch(task, tokens, rng, max_tokens, length) for _ in range(number)]


def translation_batch(task: Any, tokens: Any, rng: random.Random, max_tokens: int, length: int) -> Dict[str, Any]:
    """Sentences of about one length, as fairseq puts them together: left-padded sources, right-padded targets."""
    from fairseq.data.language_pair_dataset import collate

    about = max(4, round(rng.lognormvariate(0, 0.4) * length))
    samples: List[Dict[str, Any]] = []
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


def masked_batch(task: Any, tokens: Any, rng: random.Random, max_tokens: int, length: int) -> Dict[str, Any]:
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


def main() -> None:
    """Answer the benchmark until it closes the pipe."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what fairseq prints is not an answer
    system = None
    for line in sys.stdin:
        request = json.loads(line)
        do = request.pop("do")
        try:
            if do == "build":
                Training.without = resident("VmRSS") if sys.platform.startswith("linux") else 0
                system = Training(**request)
                answer: Dict[str, Any] = {}
            else:
                answer = getattr(system, do)(**request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
