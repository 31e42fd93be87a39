"""Keys of a configuration."""

import fairseq.models
from answers import Purpose, Raises
from omegaconf import OmegaConf
from tiny_models import SMALL, arguments, settings, translation_task

TASK = translation_task()


def built(cfg, *others, **kwargs):
    def call(_):
        model = fairseq.models.build_model(cfg() if callable(cfg) else cfg, *others, **kwargs)
        return type(model).__name__, len(model.decoder.layers)

    return call


def locked(**options):
    return OmegaConf.create(options, flags={"struct": True})


def ours(*from_checkpoint, **keys):
    """A model of the plugin, where there is the plugin."""

    def call(_):
        cfg = locked(_name="transformer_baseline_tiny", **SMALL, nobodys=3)
        return len(fairseq.models.build_model(cfg, TASK, *from_checkpoint, **keys).decoder.layers)

    return call


CONTRACTS = {
    "hydra_keys": {
        "arguments": built(arguments, TASK),
        "arguments by keyword": built(arguments, task=TASK, from_checkpoint=False),
        "an unknown argument of a namespace": built(lambda: arguments(nobodys=3), TASK),
        "settings": built(settings, TASK),
        "settings of a checkpoint": built(settings, TASK, True),
        "settings of a checkpoint by keyword": built(settings, TASK, from_checkpoint=True),
        "a folder named after the model": built(lambda: OmegaConf.create({"transformer_lm": settings()}), TASK),
        "an unknown key of a dataclass": built(lambda: settings(nobodys=3), TASK),
        "an unknown key of a checkpoint's dataclass": built(lambda: settings(nobodys=3), TASK, True),
        "settings without a name": built(lambda: OmegaConf.create({"nobodys": 1, "others": 2}), TASK),
        "settings without a name that are locked": built(locked, TASK),
        "nothing": built(None, TASK),
        "no task": built(arguments),
        "an unknown key of ours": Purpose(ours(), Raises("ValueError")),
        "an unknown key of ours in a checkpoint": Purpose(ours(True), 1),
        "an unknown key of ours in a checkpoint, by keyword": Purpose(ours(from_checkpoint=True), 1),
    }
}
