"""``--compile-layers``: ``torch.compile`` for each layer while it trains."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

#: a name that ``torch.compile`` knows, or, from Python, anything that it takes for a backend
Backend = str | Callable


class CompilableLayer(nn.Module):
    """Mixed into a layer before fairseq's: where ``compile_backend`` is set, training steps run its compiled form.

    Layers of one class share it: a model compiles two functions at most, and each again when lengths begin to vary.
    Validation and generation run as ever.
    """

    # no annotation: this file's are strings, which torch.jit.trace does not understand in a module's class
    compile_backend = ""  # type: Backend

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        stock: Any = super().forward
        if not (self.compile_backend and self.training):
            return stock(x, *args, **kwargs)
        # the first layer's input is a transposed one, and another layout would be compiled anew
        return _compiled(stock.__func__, self.compile_backend)(self, x.contiguous(), *args, **kwargs)


@functools.cache
def _compiled(function: Callable, backend: Backend) -> Callable:
    return torch.compile(function, backend=backend)


def check_compiler(backend: str) -> None:
    """Whether ``--compile-layers`` can be had.

    Raises:
        ValueError: torch knows no such backend.
    """
    known = torch._dynamo.list_backends(exclude_tags=())
    if backend not in known:
        raise ValueError(f"--compile-layers {backend}: choose from {', '.join(sorted(known))}")
