"""The four stages of attention: what a choice of each must offer, and the registries that hold the choices.

Shapes, here and in every choice: B batch, H heads, T queries, S keys, D width of a head, C = H * D. Keys and values
have H heads too, but for choices with ``takes_groups``: those get them with the N <= H heads of :mod:`.groups`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, TypeVar

import torch
from torch import Tensor, nn

from .decode.cache import Buffer
from .groups import grouped_product
from .largest import largest, renormalised
from .masks import AttentionMask

Choice = TypeVar("Choice", bound=type)


class Projection:
    """Stage 1, project: builds the modules that make queries, keys, values and the output from their inputs.

    Args:
        options: an instance of the class's ``Options`` dataclass (``None`` where it has none).
        init: name of the initialisation, one of :data:`INITS`.
    """

    Options: type | None = None
    #: role -> the role whose map makes it too, of ``q``, ``k`` and ``v``; it has none of its own
    shares: ClassVar[Mapping[str, str]] = {}
    #: the queries' map may make keys too, where a compatibility asks for it
    query_makes_keys = True
    #: a head's queries hold its part of the input, so that a head cannot be taken out or change its place
    query_holds_input = False

    def __init__(self, options: Any, init: str) -> None:
        self.options, self.init = options, init

    def build(self, role: str, in_features: int, out_features: int) -> nn.Module:
        """A map from (..., in_features) to (..., out_features) for a role that shares none.

        ``role`` is ``q``, ``k``, ``v`` or ``out``.
        """
        raise NotImplementedError

    def reset_parameters(self, role: str, module: nn.Module, same_width: bool) -> None:
        """Initialise what :meth:`build` made; ``same_width``: q, k and v read inputs of the model's own width."""
        raise NotImplementedError


class Compatibility(nn.Module):
    """Stage 2, compare: queries and keys -> scores.

    Every choice is given as a change of q and k after which ``score = <q, k> / sqrt(D)``: so a bilinear form costs no
    more than the plain dot product and reaches the same fused kernels. Its parameters have the heads first.
    """

    Options: type | None = None
    #: keys are made by the query projection of the attended side, and no key projection exists
    shares_query_projection = False
    #: k may have fewer heads than q: no parameter is a key head's own
    takes_groups = False

    def __init__(self, num_heads: int, head_dim: int, options: Any) -> None:
        super().__init__()

    def fold(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """q (B, H, T, D), k (B, H, S, D) -> the pair whose scaled dot product is the score; neither in place."""
        raise NotImplementedError


class DropoutMasks(Protocol):
    """What one call of dropout draws."""

    #: what is kept is multiplied by it
    scale: float

    def draw(self, size: int) -> Tensor:
        """uint8 (size,), 0 = dropped, 1 = kept; every call draws others."""
        ...


class Dropout(Protocol):
    """``torch.nn.Dropout``, or fairseq's, whose ``apply_during_inference`` keeps it on in evaluation."""

    p: float
    training: bool

    def __call__(self, x: Tensor) -> Tensor:
        """x with some elements set to 0 and the others scaled, or x."""
        ...


def dropped_share(dropout: Dropout) -> float:
    """The probability with which ``dropout`` drops now: 0 in evaluation, unless dropout is kept there too."""
    return dropout.p if dropout.training or getattr(dropout, "apply_during_inference", False) else 0.0


class Kernel(nn.Module):
    """Stage 3, normalise: attention weights ``alpha_i = kappa(q, k_i) / sum_j kappa(q, k_j)`` over the allowed keys."""

    Options: type | None = None
    #: an allowed key may have weight 0, as a rule and not by rounding
    ignores_keys = False
    #: k and v may have fewer heads than q, in every method and in the recurrent form
    takes_groups = False

    def __init__(self, options: Any) -> None:
        super().__init__()

    def kappa(self, q: Tensor, k: Tensor) -> Tensor:
        """The kernel as the paper writes it, of one query (D,) and one key (D,): what :mod:`.naive` adds up."""
        raise NotImplementedError

    def weights(self, q: Tensor, k: Tensor, mask: AttentionMask) -> Tensor:
        """(B, H, T, S), at least float32; each row sums to 1, or is 0 where a query has no allowed key."""
        raise NotImplementedError

    def fused(self, q: Tensor, k: Tensor, v: Tensor, mask: AttentionMask, dropout_p: float) -> Tensor | None:
        """The mixture of all values (B, H, T, D) without the matrix of weights; None: there is no such form.

        ``dropout_p`` is the probability with which a weight is dropped.
        """
        return None

    def fused_with_dropout(
        self, q: Tensor, k: Tensor, v: Tensor, mask: AttentionMask, keep: DropoutMasks
    ) -> Tensor | None:
        """As :meth:`fused`, with dropout that draws part by part what it keeps; None: there is no such form."""
        return None

    def largest(
        self, q: Tensor, k: Tensor, mask: AttentionMask, r: int, sizes: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The ``r`` keys of largest weight of each query, r <= S: weights (B, H, T, r), renormalised, and indices.

        The weights are at least float32; excluded keys have weight 0, as all have where a query has no allowed key.
        With ``sizes`` (B, H, 1, S), positive and at least float32, they are the keys of largest weight times size.
        """
        weights, indices = largest(self.weights(q, k, mask), r, sizes)
        return renormalised(weights), indices

    def recurrent(self) -> RecurrentForm | None:
        """How causal self-attention over all keys is decoded with a state of constant size; None: it is not.

        The state holds no weights that dropout could drop.
        """
        return None


class RecurrentForm:
    """Causal attention over all keys, some tokens at a time, from a state whose size the past does not change."""

    def step(self, buffer: Buffer, q: Tensor, k: Tensor, v: Tensor, key_padding: Tensor | None) -> Tensor:
        """Append k, v (B, H, T, D) and padding (B, T) to the state in ``buffer`` and attend with q: (B, H, T, D).

        Query t sees what was there before and the keys 0..t.
        Every entry of the buffer has the batch first, so that beam search can reorder it.
        """
        raise NotImplementedError


class Mixing(nn.Module):
    """Stage 4, mix: weights and values -> output."""

    Options: type | None = None
    #: every key takes part, with the kernel's own weights: the kernel's recurrent form may be used
    uses_all_keys = False
    #: k and v may have fewer heads than q
    takes_groups = False
    #: how far it has to compute depends on the values: no one graph of ``torch.compile`` or ``torch.jit`` holds it
    searches = False

    def __init__(self, options: Any) -> None:
        super().__init__()

    def place(self, layer: int, layers: int) -> None:
        """Told by a model once it is built: this is layer ``layer`` of ``layers``, from 0."""

    def treats_heads_alike(self) -> bool:
        """Whether heads may change their places."""
        return True

    def attend(
        self, kernel: Kernel, q: Tensor, k: Tensor, v: Tensor, mask: AttentionMask, dropout: Dropout, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Output (B, H, T, D) and, if asked for, the weights (B, H, T, S) really used.

        q (B, H, T, D) and k, v (B, H, S, D) as the compatibility left them. A choice that can do without the whole
        matrix of weights overrides this.
        """
        out, weights = self.mix(kernel.weights(q, k, mask), v, mask, dropout)
        return out, weights if need_weights else None

    def mix(
        self, weights: Tensor, v: Tensor, mask: AttentionMask, dropout: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """weights (B, H, T, S), v (B, H, S, D) -> output (B, H, T, D) and the weights really used (B, H, T, S)."""
        raise NotImplementedError


class Stage:
    """One stage's registry: the name of a choice -> its class, in the order of registration.

    Examples:
        >>> [stage.name for stage in STAGES]
        ['projection', 'compatibility', 'kernel', 'mixing']
        >>> STAGES[2]["elu1"].__name__
        'Elu1Kernel'
    """

    def __init__(self, name: str, contract: type) -> None:
        self.name, self.contract = name, contract
        self.choices: dict[str, type[Any]] = {}

    def register(self, name: str) -> Callable[[Choice], Choice]:
        """Class decorator: make a choice known as ``name``; registering the same class again changes nothing."""

        def add(cls: Choice) -> Choice:
            if not issubclass(cls, self.contract):
                raise TypeError(f"{cls.__name__} is no {self.contract.__name__}")
            known = self.choices.setdefault(name, cls)
            if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
                raise ValueError(f"attention {self.name} {name!r} is already {known.__module__}.{known.__qualname__}")
            return cls

        return add

    def __getitem__(self, name: str) -> type[Any]:
        if name not in self.choices:
            raise ValueError(f"unknown attention {self.name} {name!r}; known: {', '.join(self.choices)}")
        return self.choices[name]

    def option_classes(self) -> list[type]:
        """The ``Options`` dataclasses of all choices, each once."""
        return list(dict.fromkeys(c.Options for c in self.choices.values() if c.Options is not None))


PROJECTION = Stage("projection", Projection)
COMPATIBILITY = Stage("compatibility", Compatibility)
KERNEL = Stage("kernel", Kernel)
MIXING = Stage("mixing", Mixing)
STAGES = (PROJECTION, COMPATIBILITY, KERNEL, MIXING)

#: named initialisations; what each means is the projection's to say
INITS = ("linear", "paper", "xavier", "normal")


def init_normal(linear: nn.Linear) -> None:
    """N(0, 0.02^2) and zero bias: BERT's, and the neural-QKV and symmetric papers'."""
    nn.init.normal_(linear.weight, mean=0.0, std=0.02)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)


def scaled_score(q: Tensor, k: Tensor) -> Tensor:
    """<q, k> / sqrt(D) of one query (D,) and one key (D,)."""
    return (q * k).sum() / math.sqrt(q.numel())


def scaled_scores(q: Tensor, k: Tensor, bias: Tensor | None = None) -> Tensor:
    """<q, k> / sqrt(D) of q (B, H, T, D) and k (B, N, S, D), whose heads may be groups: (B, H, T, S).

    A bias (B, H, 1, S), with which N = H, is added; it takes no second matrix of scores.
    """
    q, k = q * q.size(-1) ** -0.5, k.transpose(-2, -1)
    if bias is None:
        return grouped_product(q, k)
    scores = torch.baddbmm(bias.to(q.dtype).flatten(0, 1), q.flatten(0, 1), k.flatten(0, 1))
    return scores.view(*q.shape[:2], *scores.shape[1:])
