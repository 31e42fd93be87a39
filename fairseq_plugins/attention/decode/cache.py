"""The past of incremental decoding: keys, values and their padding in a buffer, by fairseq's names.

B rows of the batch, H heads, S keys so far, D width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .reordering import Reordering

Buffer = dict[str, Tensor | None]

#: steps for which room is made at first; it doubles whenever it is used up
FIRST_ROOM = 32
#: where the memory of an entry of the buffer is kept, of which the entry is the beginning
ROOM = {"prev_key": "room_for_keys", "prev_value": "room_for_values"}
#: the entry of a buffer of fixed size (:func:`make_room`)
POSITION = "position"
NOT_REORDERED = {*ROOM.values(), "hypotheses", POSITION}


class KeyValueCache:
    """Grows the keys and values of one attention module by a step, or returns the ones that never change.

    Values that are the keys, one tensor, are kept once: the buffer then has no ``prev_value``.

    On a CPU, where nothing is differentiated, a step is written into room that was made ahead, and a reordering moves
    only what hypotheses do not have in common: new memory for copies of the whole past would be most of a step's time.
    Whoever wants to go on twice from one buffer copies it deeply.
    """

    def extend(
        self, buffer: Buffer, k: Tensor, v: Tensor, key_padding: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Append k, v (B, H, S', D) and their padding (B, S') to the buffer; returns all of the past with them."""
        past = self.load(buffer)
        if past is not None:
            past_k, past_v, past_padding = past
            position = buffer.get(POSITION)
            if position is not None:
                return _write(past_k, past_v, k, v, position)
            if past_padding is not None or key_padding is not None:
                parts = ((past_padding, past_k.size(2)), (key_padding, k.size(2)))
                key_padding = torch.cat([_padding_of(part, k.size(0), steps, k.device) for part, steps in parts], dim=1)
            one = v is k and past_v is past_k
            k = self._append(buffer, "prev_key", past_k, k)
            v = k if one else self._append(buffer, "prev_value", past_v, v)
        self.store(buffer, k, v, key_padding)
        return k, v, key_padding

    def _append(self, buffer: Buffer, name: str, past: Tensor, new: Tensor) -> Tensor:
        """The past of that name with ``new`` behind it, written into its room if it is to have one."""
        if new.device.type != "cpu" or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return torch.cat([past, new], dim=2)
        room = room_of(buffer, name)
        rows, heads, steps, width = past.shape
        total = steps + new.size(2)
        if room is None or room.size(2) < total:
            room = buffer[ROOM[name]] = past.new_empty(rows, heads, max(FIRST_ROOM, 2 * total), width)
            room[:, :, :steps] = past
        whole = room[:rows, :, :total]
        whole[:, :, steps:] = new
        return whole

    def store(self, buffer: Buffer, k: Tensor, v: Tensor, key_padding: Tensor | None, hypotheses: int = 1) -> None:
        """Keep k, v (B, H, S, D) and padding (B, S) as the whole past; each row serves so many rows of the batch."""
        buffer["prev_key"], buffer["prev_value"], buffer["prev_key_padding_mask"] = k, v, key_padding
        if v is k:
            del buffer["prev_value"]
        if hypotheses > 1:
            buffer["hypotheses"] = torch.tensor(hypotheses)

    def load(self, buffer: Buffer) -> tuple[Tensor, Tensor, Tensor | None] | None:
        """The past, or None before the first step."""
        k = buffer.get("prev_key")
        if k is None:
            return None
        v = buffer.get("prev_value")
        return k, k if v is None else v, buffer.get("prev_key_padding_mask")

    def reorder(self, buffer: Buffer, reordering: Reordering) -> None:
        """Follow beam search; a buffer whose rows are shared follows its sentences."""
        rows = reordering.rows
        shared, k = buffer.get("hypotheses"), buffer.get("prev_key")
        if shared is not None and k is not None:
            hypotheses = int(shared)
            if reordering.keeps_sentences(hypotheses, k.size(0)):
                return
            sentences = reordering.sentences(hypotheses)
            if sentences is None:  # they mix: each hypothesis gets a row of its own
                sentences = torch.div(rows, hypotheses, rounding_mode="floor")
                buffer["hypotheses"] = None
            rows = sentences
        for name, tensor in buffer.items():
            if tensor is None or name in NOT_REORDERED:
                continue
            if room_of(buffer, name) is not None and rows.numel() <= tensor.size(0):
                buffer[name] = reordering.move(tensor)
            else:
                buffer[name] = tensor.index_select(0, rows)


def make_room(buffer: Buffer, position: Tensor, room: int) -> None:
    """Fix the size of a past of one step: the next are written to ``position`` (1,), of ``room`` positions.

    Until the buffer is emptied, what stands behind the position counts as padding. A state in place of keys is of fixed
    size as it is.
    """
    if "prev_key" not in buffer:
        return
    if buffer.get("prev_key_padding_mask") is not None:
        raise ValueError("a past with padding is of no fixed size")
    for name in ROOM:
        past = buffer.get(name)
        if past is not None:
            buffer[name] = torch.nn.functional.pad(past, (0, 0, 0, room - past.size(2)))
    buffer[POSITION] = position


def _write(
    past_k: Tensor, past_v: Tensor, k: Tensor, v: Tensor, position: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """A step k, v (B, H, 1, D) into pasts of fixed size, in place: they, and what of them counts as padding (B, S)."""
    past_k.index_copy_(2, position, k)
    if past_v is not past_k:
        past_v.index_copy_(2, position, v)
    rows, _, steps, _ = past_k.shape
    return past_k, past_v, (torch.arange(steps, device=k.device) > position).expand(rows, steps)


def _padding_of(padding: Tensor | None, rows: int, steps: int, device: torch.device) -> Tensor:
    """(B, S) bool: nothing is padding where nobody says so."""
    return torch.zeros(rows, steps, dtype=torch.bool, device=device) if padding is None else padding.bool()


def room_of(buffer: Buffer, name: str) -> Tensor | None:
    """The memory (B, H, room, D) of which an entry of the buffer is the beginning; None if it is an entry by itself."""
    past, room = buffer.get(name), buffer.get(ROOM.get(name, ""))
    if past is None or room is None or past.data_ptr() != room.data_ptr() or past.stride() != room.stride():
        return None
    return room


def held_bytes(buffer: Buffer) -> int:
    """Bytes of the keys and values that a buffer holds, or of the state in their place; not of room for more."""
    apart = {*NOT_REORDERED, "prev_key_padding_mask"}
    held = [tensor for name, tensor in buffer.items() if tensor is not None and name not in apart]
    return sum(tensor.numel() * tensor.element_size() for tensor in held)
