"""The weights that attention mixes by: recorded where they are used, not computed again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor

from fairseq_plugins.analysis.measure import Place, mixed, places, relative_error
from fairseq_plugins.attention.masks import AttentionMask
from fairseq_plugins.attention.stages import Dropout, Kernel, Mixing

Array = Any  # of numpy


class Weights(NamedTuple):
    """What one module did in one call, with the batch first.

    Args:
        used: (B, H, T, S), the weights by which values were mixed.
        dense: (B, H, T, S), those before a sparse mixing chose among them; None where the mixing is dense.
        error: (B, H, T), ``|o - o'| / |o|``, o the dense output and o' the sparse one.
    """

    used: Array
    dense: Array | None = None
    error: Array | None = None

    def of(self, row: int) -> Weights:
        """Those of one row of the batch."""
        return Weights(*(None if one is None else one[row] for one in self))


class Recorder(Mixing):
    """Mixes as another mixing does, and keeps what its last call did."""

    def __init__(self, own: Mixing) -> None:
        super().__init__(None)
        self.own = own
        self.last: Weights | None = None

    def attend(
        self, kernel: Kernel, q: Tensor, k: Tensor, v: Tensor, mask: AttentionMask, dropout: Dropout, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        out, used = self.own.attend(kernel, q, k, v, mask, dropout, True)
        assert used is not None
        found = [used]
        if not self.own.uses_all_keys:
            dense = kernel.weights(q, k, mask)
            found += [dense, relative_error(dense @ v.to(dense.dtype), out)]
        self.last = Weights(*(tensor.detach().float().cpu().numpy() for tensor in found))
        return out, used if need_weights else None


@contextmanager
def recorded(model: Any) -> Iterator[dict[str, list[Recorder]]]:
    """Site -> a recorder for each of its layers, until the context ends.

    Raises:
        UserError: the model has no attention of this package.
    """

    def recorder(place: Place) -> Recorder:
        return Recorder(place.module.mixing)

    found = places(model)
    with mixed(found, recorder) as recorders:
        by_site: dict[str, list[Recorder]] = {}
        for place, made in zip(found, recorders):
            by_site.setdefault(place.site, []).append(made)
        yield by_site


def seen(recorders: dict[str, list[Recorder]]) -> dict[str, list[Weights]]:
    """Site -> layer by layer what was recorded last."""
    return {site: [made.last for made in layers if made.last] for site, layers in recorders.items()}


def first_row(sites: dict[str, list[Weights]]) -> dict[str, list[Weights]]:
    """Those of the first row of the batch."""
    return {site: [layer.of(0) for layer in layers] for site, layers in sites.items()}
