"""The past of generation as ``transformers`` hands it on: one object that holds a buffer of every attention."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from fairseq_plugins.attention.decode.cache import NOT_REORDERED, Buffer, KeyValueCache
from fairseq_plugins.attention.decode.reordering import Reordering


class StagedCache:
    """What staged attention keeps of the past: keys, values that are the keys once, fewer heads, or a kernel's state.

    It stands where ``transformers`` has its own ``Cache``, which knows keys and values only.
    """

    is_compileable = False

    def __init__(self) -> None:
        self.buffers: dict[tuple[str, int], Buffer] = {}
        self.seen = 0

    def buffer(self, site: str, layer: int) -> Buffer:
        """Of one attention; empty at first."""
        return self.buffers.setdefault((site, layer), {})

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Positions so far."""
        return self.seen

    def __len__(self) -> int:
        return len(self.buffers)

    @property
    def is_linear(self) -> list[bool]:
        """As ``transformers`` asks: no layer's past may be given again from the start."""
        return [False]

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Row i becomes the former row ``beam_idx[i]``."""
        reordering = Reordering(beam_idx)
        for buffer in self.buffers.values():
            KeyValueCache().reorder(buffer, reordering)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep only these rows."""
        self._rows(lambda tensor: tensor.index_select(0, indices))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Each row so many times."""
        self._rows(lambda tensor: tensor.repeat_interleave(repeats, dim=0))

    def _rows(self, change: Callable[[Tensor], Tensor]) -> None:
        for buffer in self.buffers.values():
            for name, tensor in list(buffer.items()):
                if name in NOT_REORDERED:
                    del buffer[name]  # room that was made ahead is made anew
                elif tensor is not None:
                    buffer[name] = change(tensor)
