"""The files of a model folder: weights by safetensors, and JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from fairseq_plugins.checkpoints import CheckpointError, Weights, safe_load

SAFETENSORS, PICKLE, CONFIG = "model.safetensors", "pytorch_model.bin", "config.json"
INSTALL = "pip install 'fairseq_plugins[huggingface]'"


def write_weights(weights: Weights, folder: Path) -> None:
    """``model.safetensors``, as ``transformers`` writes it.

    Raises:
        CheckpointError: safetensors is not installed.
    """
    try:
        from safetensors.torch import save_file
    except ImportError:
        raise CheckpointError(f"the package safetensors is missing; run: {INSTALL}") from None
    path = folder / SAFETENSORS
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path, {"format": "pt"})
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)  # safetensors' file is the owner's alone


def read_weights(folder: Path) -> Weights:
    """The weights of a folder: ``model.safetensors``, in parts or whole, or else ``pytorch_model.bin``.

    Raises:
        CheckpointError: there are none, they cannot be read, or safetensors is not installed.
    """
    index = folder / f"{SAFETENSORS}.index.json"
    if index.is_file():
        names = sorted(set(read_json(index).get("weight_map", {}).values()))
        parts = [_read_safetensors(folder / name) for name in names]
        return {name: tensor for part in parts for name, tensor in part.items()}
    if (folder / SAFETENSORS).is_file():
        return _read_safetensors(folder / SAFETENSORS)
    if (folder / PICKLE).is_file():
        try:
            return dict(safe_load.load_checkpoint(folder / PICKLE))
        except (safe_load.UntrustedCheckpointError, RuntimeError, EOFError, ValueError) as error:
            raise CheckpointError(f"{folder / PICKLE}: {error}") from error
    raise CheckpointError(f"{folder}: neither {SAFETENSORS} nor {PICKLE} in it")


def is_pickle(folder: Path) -> bool:
    """Whether :func:`read_weights` reads ``pytorch_model.bin``."""
    return not ((folder / SAFETENSORS).is_file() or (folder / f"{SAFETENSORS}.index.json").is_file())


def _read_safetensors(path: Path) -> Weights:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise CheckpointError(f"the package safetensors is missing; run: {INSTALL}") from None
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        CheckpointError: it is missing, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON ({error})") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: not a JSON object")
    return content


def write_json(content: Any, path: Path) -> None:
    """A JSON file in the layout of ``transformers``."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
