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

    def build_model(cfg: Any, task: Any, from_checkpoint: bool = False) -> Any:
        from fairseq_plugins.models.grid import is_ours
        from fairseq_plugins.models.option_names import refuse_unknown_keys

        if OmegaConf.is_config(cfg) and not from_checkpoint and is_ours(str(cfg.get("_name") or cfg.get("arch"))):
            refuse_unknown_keys(cfg)
        return original(cfg, task, from_checkpoint)

    refusing: Any = mark(build_model, original)  # which another repair has marked already
    refusing._refuses_unknown_keys = True
    fairseq.models.build_model = refusing
    return True
