"""Loading models with overrides."""

import torch
from answers import Purpose
from fairseq import checkpoint_utils
from omegaconf import OmegaConf
from tiny_models import language_modeling_task, settings

TASK = language_modeling_task()


def saved(**changes):
    model = settings(decoder_layers=2)
    torch.manual_seed(2)
    weights = TASK.build_model(model).state_dict()
    cfg = OmegaConf.create(
        {
            "model": {**OmegaConf.to_container(model, enum_to_str=True), **changes},
            "common": {},
            "task": {"_name": "language_modeling"},
        }
    )
    history = [{"optimizer_name": "Adam", "lr_scheduler_state": {}, "num_updates": 7}]
    return {"model": weights, "args": None, "cfg": cfg, "extra_state": {}, "optimizer_history": history}


def loaded(*others, names=list, changes=None, there=True, **kwargs):
    """The models of a state that is given."""

    def call(folder):
        path = folder / "x.pt"
        if there:
            path.write_bytes(b"")
        state = saved(**(changes or {}))
        load = checkpoint_utils.load_model_ensemble_and_task
        models, cfg, task = load(names([str(path)]), *others, state=state, **kwargs)
        layers = [len(found.decoder.layers) for found in models]
        same = all(torch.equal(weight, state["model"][name]) for name, weight in models[0].named_parameters())
        return type(models).__name__, layers, same, cfg is state["cfg"], type(task).__name__

    return call


def refused(folder):
    torch.save(saved(), folder / "x.pt")
    try:
        checkpoint_utils.load_model_ensemble_and_task([str(folder / "x.pt")], {"decoder_layers": 3}, TASK)
    except RuntimeError as error:
        return "decoder_layers=3 (trained: 2)" in str(error)


CONTRACTS = {
    "overrides_that_do_not_fit": {
        "a state": loaded(None, TASK),
        "by keywords": loaded(arg_overrides={}, task=TASK, strict=True, suffix="", num_shards=1),
        "by position": loaded({"dropout": 0.3}, TASK, True, "", 1),
        "a tuple of names": loaded(None, TASK, names=tuple),
        "one name": loaded(None, TASK, names=lambda paths: paths[0]),
        "not strictly": loaded({}, TASK, False, changes={"decoder_layers": 3}),
        "a state that does not fit": loaded({}, TASK, changes={"decoder_layers": 3}),
        "a state that does not fit, and overrides": loaded({"dropout": 0.3}, TASK, changes={"decoder_layers": 3}),
        "shards that must be whole": loaded(None, TASK, num_shards=2),
        "no file": loaded(None, TASK, there=False),
        "no files": lambda _: checkpoint_utils.load_model_ensemble_and_task([], {"a": 1}),
        "nothing": lambda _: checkpoint_utils.load_model_ensemble_and_task(),
        "an unknown argument": loaded(nobodys=1),
        "an override that needs other parameters": Purpose(refused, True),
    }
}
