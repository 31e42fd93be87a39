"""Which kernels attention reaches on this device: ``python -m fairseq_plugins.benchmark.kernels [--cpu]``."""

from __future__ import annotations

import itertools
import re
import sys

import torch
from torch.profiler import ProfilerActivity, profile

from fairseq_plugins.attention import CAUSAL, AttentionConfig
from fairseq_plugins.report.tables import markdown_table

#: what the names of kernels of attention have in common, whoever wrote them
ATTENTION = re.compile(r"flash|fmha|sdpa|attention|attn|cudnn.*(mha|sdp)", re.IGNORECASE)
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def reached(device: str, dtype: torch.dtype, causal: bool, padded: bool, sizes: tuple[int, int, int, int]) -> str:
    """The longest-running kernel of attention in a forward pass that a backward one follows, or what takes its place.

    Args:
        sizes: T, B, C and H.
    """
    steps, batch, width, heads = sizes
    attention = AttentionConfig().build("encoder", embed_dim=width, num_heads=heads, self_attention=True)
    attention = attention.to(device, dtype)
    x = torch.randn(steps, batch, width, device=device, dtype=dtype, requires_grad=True)
    padding = torch.zeros(batch, steps, dtype=torch.bool, device=device)
    padding[:, -steps // 4 :] = True
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with profile(activities=activities) as profiled:
        mask = CAUSAL if causal else None
        out, _ = attention(x, x, x, padding if padded else None, need_weights=False, attn_mask=mask)
        out.sum().backward()
    time = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    found = [event for event in profiled.key_averages() if ATTENTION.search(event.key) and getattr(event, time) > 0]
    found = [event for event in found if not re.search("backward|bwd", event.key)]
    if not found:
        return "products and softmax apart"
    return str(max(found, key=lambda event: getattr(event, time)).key)[:60]


def main() -> None:
    """Print a table."""
    device = "cuda" if torch.cuda.is_available() and "--cpu" not in sys.argv else "cpu"
    sizes = (512, 8, 512, 8) if device == "cuda" else (32, 2, 64, 4)
    rows = []
    for dtype, causal, padded in itertools.product(DTYPES, (False, True), (False, True)):
        what = [str(dtype).removeprefix("torch."), "causal" if causal else "all keys", "padded" if padded else "full"]
        rows.append([*what, reached(device, dtype, causal, padded, sizes)])
    print(markdown_table(["type", "mask", "batch", "kernel"], rows))


if __name__ == "__main__":
    main()
