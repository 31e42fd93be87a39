"""What this machine's processor can do, for whatever is fast on some and slow on others."""

from __future__ import annotations

import functools
import platform

import torch


@functools.cache
def multiplies_bfloat16() -> bool:
    """Whether the CPU has instructions for products of bfloat16, which take several times as long as others without.

    True where torch cannot tell.
    """
    if platform.machine().lower() in ("x86_64", "amd64"):
        # oneDNN itself says that it supports what it emulates with AVX-512
        names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        found = [getattr(torch.cpu, name) for name in names if hasattr(torch.cpu, name)]
        if found:
            return any(supported() for supported in found)
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)  # built without oneDNN, torch has no such
    return supported is None or bool(supported())


@functools.cache
def multiplies_int8() -> bool:
    """Whether the CPU has instructions for dot products of 8-bit integers (VNNI); True where torch cannot tell."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    names = ("_is_vnni_supported", "_is_amx_tile_supported")
    found = [getattr(torch.cpu, name) for name in names if hasattr(torch.cpu, name)]
    return not found or any(supported() for supported in found)


def lacks(weights: str) -> str:
    """Why the CPU is slower with such weights than in float32, or its sums of them overflow; empty if it is not.

    Args:
        weights: ``float32``, ``bfloat16`` or ``int8``.
    """
    if weights == "bfloat16" and not multiplies_bfloat16():
        return "this CPU has no instructions for bfloat16"
    if weights == "int8" and not multiplies_int8():
        return "this CPU has no instructions for dot products of 8-bit integers"
    return ""
