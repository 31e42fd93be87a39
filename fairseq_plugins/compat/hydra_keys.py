"""Keys of a hydra configuration that a model does not know."""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf

from .registry import mark, repair


@repair("none known")
def hydra_keys() -> bool:
    """``fairseq-hydra-train`` refuses unknown keys of models with a dataclass, and passes over those of all others.

    This plugin's models, which have parsers, refuse them too. What a checkpoint holds stays accepted.
    """
    import fairseq.models

    original = fairseq.models.build_model
    if getattr(original, "_refuses_unknown_keys", False):
        return True

    def build_model(cfg: Any, task: Any, *from_checkpoint: Any, **kwargs: Any) -> Any:
        from fairseq_plugins.models.grid import is_ours
        from fairseq_plugins.models.option_names import refuse_unknown_keys

        loading = any(from_checkpoint) or kwargs.get("from_checkpoint")
        arch = str(getattr(cfg, "_name", None) or getattr(cfg, "arch", None))
        if OmegaConf.is_config(cfg) and not loading and is_ours(arch):
            refuse_unknown_keys(cfg, arch)
        return original(cfg, task, *from_checkpoint, **kwargs)

    refusing: Any = mark(build_model, original)  # which another repair has marked already
    refusing._refuses_unknown_keys = True
    fairseq.models.build_model = refusing
    return True
