"""Keys of a hydra configuration that a model does not know."""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf

from .registry import mark, marked, repair


@repair("none known")
def hydra_keys() -> bool:
    """``fairseq-hydra-train`` refuses unknown keys of models with a dataclass, and passes over those of all others.

    This plugin's models, which have parsers, refuse them too. What a checkpoint holds stays accepted.
    """
    import fairseq.models

    original = fairseq.models.build_model
    if marked(original, "hydra_keys"):
        return True

    def build_model(cfg: Any, task: Any, *from_checkpoint: Any, **kwargs: Any) -> Any:
        from fairseq_plugins.models.grid import is_ours
        from fairseq_plugins.models.option_names import refuse_unknown_keys

        loading = any(from_checkpoint) or kwargs.get("from_checkpoint")
        arch = str(getattr(cfg, "_name", None) or getattr(cfg, "arch", None))
        if OmegaConf.is_config(cfg) and not loading and is_ours(arch):
            refuse_unknown_keys(cfg, arch)
        return original(cfg, task, *from_checkpoint, **kwargs)

    fairseq.models.build_model = mark(build_model, original, "hydra_keys")
    return True
