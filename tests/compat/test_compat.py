"""The repairs of fairseq, against stock fairseq in a process without the plugin and against hostile files."""

import copy
import functools
import io
import operator
import os
import pathlib
import pickle
import subprocess
import sys
import tarfile
import warnings
import zipfile
from argparse import Namespace
from collections import OrderedDict, defaultdict
from concurrent.futures import ThreadPoolExecutor

import hydra
import numpy as np
import pytest
import tiny_training
import torch
from fairseq import checkpoint_utils, options, utils
from fairseq.data import Dictionary, TokenBlockDataset
from fairseq.data.iterators import EpochBatchIterator
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.logging import meters
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY, build_model
from fairseq.models.transformer import TransformerConfig
from fairseq.modules.transformer_layer import TransformerEncoderLayerBase
from omegaconf import OmegaConf
from zygote import quick_python

from fairseq_plugins import compat
from fairseq_plugins.checkpoints import safe_load
from fairseq_plugins.checkpoints.safe_load import TRUST_VARIABLE, UntrustedCheckpointError
from fairseq_plugins.compat.encoder_layer import DUPLICATE_PARAMETERS

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run_stock(*arguments, **kwargs):
    """Python without the plugin on its path."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    return subprocess.run(
        [quick_python(), *map(str, arguments)], env=environment, capture_output=True, text=True, check=True, **kwargs
    )


def plain_load(path):
    """What Python's own pickle makes of a file."""
    return torch.load(path, map_location="cpu", weights_only=False)


@pytest.fixture(scope="module")
def stock(corpus, tmp_path_factory):
    """Checkpoints of every kind, trained by stock fairseq."""
    folder = tmp_path_factory.mktemp("stock")
    run_stock(tiny_training.__file__, corpus, folder)
    return folder


def same(left, right):
    """Equality through containers, for tensors and arrays too."""
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right) and left.dtype == right.dtype
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and np.array_equal(left, right)
    if isinstance(left, dict):
        names = [key for key in left if not str(key).endswith("_float_tensor")]  # memory that nobody initialised
        return list(left) == list(right) and all(same(left[key], right[key]) for key in names)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, Namespace):
        return same(vars(left), vars(right))
    return left == right and type(left) is type(right)


# ------------------------------------------------------------------------------------------ the table


def test_the_table_names_every_repair():
    table = compat.repairs()
    assert {"hydra_warnings", "checkpoint_loading", "fused_encoder_layer"} <= {repair.name for repair in table}
    for repair in table:
        assert repair.state in ("applied", "not needed"), repair
        assert len(repair.reason) > 40, repair
        assert repair.thread, repair


def test_applying_twice_changes_nothing():
    from fairseq.distributed import utils as distributed_utils
    from fairseq.models import distributed_fairseq_model

    def patched():
        return [
            checkpoint_utils.torch,
            distributed_utils.torch,
            distributed_utils.call_main,
            distributed_fairseq_model.DistributedDataParallel,
            TransformerEncoderLayerBase.__init__,
            TransformerEncoderLayerBase.forward,
            TransformerEncoderLayerBase._load_from_state_dict,
            utils.import_user_module,
            sys.modules["fairseq.models"].build_model,
        ]

    with warnings.catch_warnings():
        compat.apply()
        before, filters, states = patched(), len(warnings.filters), compat.repairs()
        compat.apply()
        assert all(map(operator.is_, before, patched()))
        assert len(warnings.filters) == filters
        assert compat.repairs() == states


def test_a_repair_that_fails_is_reported_and_does_not_stop_the_others(monkeypatch, caplog):
    def moved():
        raise AttributeError("fairseq moved it")

    monkeypatch.setitem(compat.registry._FUNCTIONS, "moved", (moved, "none known"))
    monkeypatch.setattr(compat.registry, "_STATES", {})
    compat.apply()
    assert "moved it" in {repair.name: repair.state for repair in compat.repairs()}["moved"]
    assert "moved" in caplog.text


# ------------------------------------------------------------------------------------------ hostile files


class Call:
    """Pickles as a call of a function, and a state for what that returns."""

    def __init__(self, function, *arguments, state=None):
        self.call = (function, arguments, state)

    def __reduce__(self):
        return self.call


def touch(marker):
    return f"touch {marker}"


RUNNING = {
    "os.system": lambda marker: Call(os.system, touch(marker)),
    "exec": lambda marker: Call(exec, f"open({str(marker)!r}, 'w')"),
    "eval": lambda marker: Call(eval, f"open({str(marker)!r}, 'w')"),
    "open": lambda marker: Call(open, str(marker), "w"),
    "subprocess": lambda marker: Call(subprocess.call, ["touch", str(marker)]),
    "pathlib method": lambda marker: Call(pathlib.Path.touch, pathlib.PurePosixPath(marker)),
    "partial": lambda marker: Call(functools.partial(os.system, touch(marker))),
    "map": lambda marker: Call(list, Call(map, os.system, [touch(marker)])),
    "numpy.savetxt": lambda marker: Call(np.savetxt, str(marker), [1.0]),
    "torch.save": lambda marker: Call(torch.save, 1, str(marker)),
    "inside a Namespace": lambda marker: Namespace(data=[{"x": (Call(os.system, touch(marker)),)}]),
    "inside an array": lambda marker: np.array([Call(os.system, touch(marker))], dtype=object),
    "default of a dictionary": lambda marker: Call(
        operator.getitem, defaultdict(functools.partial(os.system, touch(marker))), 1
    ),
}


def state_with(payload):
    return {"args": None, "cfg": {"model": Namespace(arch="transformer")}, "model": {"w": torch.ones(2)}, "x": payload}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("kind", RUNNING)
def test_a_hostile_pickle_is_refused_and_runs_nothing(kind, zipped, tmp_path, monkeypatch):
    marker, file = tmp_path / "marker", tmp_path / "checkpoint_last.pt"
    torch.save(state_with(RUNNING[kind](marker)), file, _use_new_zipfile_serialization=zipped)
    marker.unlink(missing_ok=True)
    for load in (checkpoint_utils.load_checkpoint_to_cpu, checkpoint_utils.load_ema_from_checkpoint):
        with pytest.raises(UntrustedCheckpointError) as caught:
            load(str(file))
        assert str(file) in str(caught.value)
        assert f"{TRUST_VARIABLE}=1" in str(caught.value)
        assert caught.value.refused
    assert not marker.exists()
    if kind in ("pathlib method", "map"):
        return  # refused before they could show that they run
    monkeypatch.setenv(TRUST_VARIABLE, "1")
    safe_load.load_checkpoint(file)
    assert marker.exists()  # the opt-out works, and the file was hostile indeed


def instructions(*parts):
    """A pickle written by hand, in an archive as torch.save writes it."""

    def write(file):
        torch.save({}, file)
        with zipfile.ZipFile(file) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, content in members.items():
                archive.writestr(name, b"".join(parts) if name.endswith("data.pkl") else content)

    return write


def saved(payload):
    return lambda file: torch.save(payload(), file)


def torchscript(file):
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(file))


def tar_archive(file):
    with tarfile.open(file, "w") as archive:
        archive.addfile(tarfile.TarInfo("storages"), io.BytesIO(b""))


GADGETS = {
    "dtype with flags": instructions(
        b"\x80\x02cnumpy\ndtype\n(X\x02\x00\x00\x00O8K\x00K\x01tR(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb."
    ),
    "record dtype": saved(lambda: np.dtype([("a", "i4")])),
    "object array": saved(lambda: np.array([{}], dtype=object)),
    "attributes of a class": instructions(b"\x80\x02cargparse\nNamespace\nN}X\x01\x00\x00\x00aK\x01s\x86b."),
    "attributes of a function": instructions(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00aK\x01sb."),
    "call of a class": instructions(b"\x80\x02cargparse\nNamespace\n)R."),
    "call of a number": instructions(b"\x80\x02K\x01)R."),
    "items of an object": instructions(b"\x80\x02cargparse\nNamespace\n)\x81K\x01K\x02s."),
    "dotted name": instructions(b"\x80\x04\x8c\x08argparse\x8c\x10Namespace.__init__\x93."),
    "instance instruction": instructions(b"\x80\x02(X\x01\x00\x00\x00aios\nsystem\n."),
    "extension instruction": instructions(b"\x80\x02\x82\x01."),
    "text reference": instructions(b"Pmodule\n."),
    "module reference": instructions(b"\x80\x02(X\x06\x00\x00\x00moduleNX\x01\x00\x00\x00aX\x01\x00\x00\x00btQ."),
    "unknown codec": saved(lambda: Call(__import__("_codecs").encode, "a", "rot13")),
    "tensor with hooks": saved(
        lambda: Call(torch._utils._rebuild_parameter, torch.ones(2), True, OrderedDict({0: set}))
    ),
    "state with hooks": saved(
        lambda: Call(
            *(torch._utils._rebuild_parameter, torch.ones(2), True, OrderedDict()),
            state=(torch.ones(2), None, OrderedDict({0: set}), True, None),
        )
    ),
    "attribute that hides a method": saved(
        lambda: Call(torch._tensor._rebuild_from_type_v2, torch.Tensor, torch.Tensor, ([1.0],), {"to": set})
    ),
    "codec of a function that was kept": instructions(
        b"\x80\x02(c_codecs\nencode\nq\x00h\x00X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86Rt."
    ),
    "codec of a function in a list": instructions(
        b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n]c_codecs\nencode\na(X\x01\x00\x00\x00bX\x01\x00\x00\x00a"
        b"X\x05\x00\x00\x00rot13\x86NeR."
    ),
    "number for a storage": instructions(b"\x80\x02K\x01Q."),
    "sparse tensor": saved(lambda: torch.eye(2).to_sparse()),
    "quantized tensor": saved(lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)),
    "call of a configuration": saved(lambda: Call(OmegaConf.create({}).__class__, {})),
    "array without bytes": saved(
        lambda: Call(np.ones(1).__reduce__()[0], np.ndarray, (0,), b"b", state=(1, (9,), np.dtype("i8"), False, b""))
    ),
    "importing a module": instructions(b"\x80\x02cthis\ns\n."),
    "fairseq function": instructions(b"\x80\x02cfairseq.utils\nimport_user_module\n."),
    "TorchScript": torchscript,
    "tar": tar_archive,
    "bare pickle": lambda file: file.write_bytes(pickle.dumps(Call(os.system, "true"))),
}


@pytest.mark.parametrize("kind", GADGETS)
def test_a_pickle_out_of_place_is_refused(kind, tmp_path):
    file = tmp_path / "checkpoint.pt"
    GADGETS[kind](file)
    with pytest.raises(UntrustedCheckpointError, match=r"checkpoint\.pt"):
        checkpoint_utils.load_checkpoint_to_cpu(str(file))
    assert "this" not in sys.modules


def test_the_error_survives_a_process_boundary():
    error = pickle.loads(pickle.dumps(UntrustedCheckpointError("os.system", "a.pt")))
    assert (error.refused, error.file) == ("os.system", "a.pt")


def test_torch_load_itself_is_left_alone(tmp_path):
    assert checkpoint_utils.torch.load is not torch.load
    assert torch.load.__module__ == "torch.serialization"
    assert checkpoint_utils.torch.nn is torch.nn


def test_what_others_told_torch_is_safe_does_not_count(tmp_path):
    """Neither names of their own nor those that have a stand-in here; and it is as before afterwards."""
    hostile, good = tmp_path / "hostile.pt", tmp_path / "good.pt"
    torch.save({"args": Namespace(a=1)}, good)
    with torch.serialization.safe_globals([operator.itemgetter, np.dtype, Namespace]):
        before = torch.serialization.get_safe_globals()
        for write in (saved(lambda: operator.itemgetter(1)), GADGETS["dtype with flags"], GADGETS["call of a class"]):
            write(hostile)
            with pytest.raises(UntrustedCheckpointError):
                safe_load.load_checkpoint(hostile)
        assert safe_load.load_checkpoint(good)["args"].a == 1
        assert set(torch.serialization.get_safe_globals()) == set(before)


def test_threads_load_at_the_same_time(tmp_path):
    file = tmp_path / "good.pt"
    torch.save({name: Namespace(a=name) for name in range(300)}, file)
    before = torch.serialization.get_safe_globals()
    with ThreadPoolExecutor(4) as pool:
        states = list(pool.map(safe_load.load_checkpoint, [file] * 12))
    assert all(state[7].a == 7 for state in states)
    assert set(torch.serialization.get_safe_globals()) == set(before)


def test_attributes_of_a_dictionary_do_not_hide_its_methods(tmp_path):
    torch.save(Call(OrderedDict, [("a", 1)], state={"keys": set, "_metadata": OrderedDict(b=2)}), tmp_path / "a.pt")
    loaded = safe_load.load_checkpoint(tmp_path / "a.pt")
    assert list(loaded.keys()) == ["a"]
    assert loaded._metadata == {"b": 2}


def test_arrays_are_written_to_and_parts_stay_shared(tmp_path):
    shared = Namespace(items=[np.zeros(2)])
    shared.itself = shared
    torch.save([shared, {"again": shared}, Namespace()], tmp_path / "a.pt")
    first, second, empty = safe_load.load_checkpoint(tmp_path / "a.pt")
    first.items[0][0] = 1
    assert first is first.itself is second["again"]
    assert second["again"].items[0].tolist() == [1, 0]
    assert (type(empty), type(first.items[0])) == (Namespace, np.ndarray)


def test_strings_of_a_configuration_are_not_run(tmp_path, monkeypatch):
    marker = tmp_path / "marker"
    args = Namespace(encoder_layers=1, decoder_layers=1, adaptive_softmax_cutoff=f"[open({str(marker)!r}, 'w')]")
    ARCH_CONFIG_REGISTRY["transformer_tiny"](args)
    with pytest.raises(ValueError, match=TRUST_VARIABLE):
        ARCH_MODEL_REGISTRY["transformer_tiny"].build_model(args, FakeTask())
    assert not marker.exists()
    with pytest.raises(ValueError, match="not a literal"):
        sys.modules["fairseq.models.fconv"].eval("().__class__")
    monkeypatch.setenv(TRUST_VARIABLE, "1")
    with pytest.raises(TypeError):  # an open file is no number
        ARCH_MODEL_REGISTRY["transformer_tiny"].build_model(args, FakeTask())
    assert marker.exists()


def test_strings_of_a_configuration_still_compute():
    assert utils.eval_str_list("10,20") == [10, 20]
    assert utils.eval_str_list("0.25", type=float) == [0.25]
    assert utils.eval_bool("False") is False
    assert sys.modules["fairseq.models.fconv"].eval("[(512, 3)] * 2 + [(768, -1)]") == [(512, 3)] * 2 + [(768, -1)]


# ------------------------------------------------------------------------------------------ real files


@pytest.mark.parametrize("kind", tiny_training.KINDS)
def test_every_kind_of_checkpoint_loads_as_before(kind, stock):
    files = sorted((stock / kind).glob("*.pt"))
    assert len(files) >= 2
    for file in files:
        assert same(safe_load.load_checkpoint(file), plain_load(file))
    assert checkpoint_utils.load_checkpoint_to_cpu(str(files[0]))["cfg"].model is not None


def test_ema_weights_load(stock):
    state = checkpoint_utils.load_ema_from_checkpoint(str(stock / "ema" / "checkpoint_last.pt"))
    assert same(dict(state["model"]), dict(plain_load(stock / "ema" / "checkpoint_last.pt")["extra_state"]["ema"]))


def test_the_small_things_that_a_checkpoint_may_hold(tmp_path):
    things = {
        "arrays": [np.arange(6).astype(t).reshape(2, 3) for t in ("i1", "<i8", ">i8", "f4", ">f2", "c16", "?", "u2")],
        "fortran": np.asfortranarray(np.ones((2, 3))),
        "numbers": [np.float64(0.1), np.int32(7), np.bool_(True)],
        "collections": [{1, 2}, frozenset([3]), (4,), b"bytes", bytearray(b"x"), 1 << 70, -1, 2.5, None, True, "ü"],
        "default": defaultdict(list, a=[1]),
        "torch": [torch.float16, torch.Size([2]), torch.device("cpu"), torch.nn.Parameter(torch.ones(2))],
        "path": pathlib.Path("a/b"),
        "shared": [torch.arange(4.0)[1:3], torch.ones(2, dtype=torch.bfloat16)],
    }
    for zipped in (True, False):
        file = tmp_path / f"{zipped}.pt"
        torch.save(things, file, _use_new_zipfile_serialization=zipped)
        assert same(safe_load.load_checkpoint(file), plain_load(file))


def legacy_state(stock):
    """A state as fairseq wrote it in 2019: options in a Namespace under "args", meters as objects."""
    state = plain_load(stock / "adam" / "checkpoint_last.pt")
    meter = meters.AverageMeter()
    meter.update(torch.tensor(3.0))
    state["args"], state["cfg"] = state["cfg"]["model"], None
    state["extra_state"]["train_meters"] = OrderedDict(loss=meter, wall=meters.TimeMeter())
    return state


@pytest.mark.parametrize("zipped", [True, False])
def test_legacy_checkpoints_load(zipped, stock, corpus, tmp_path):
    file = tmp_path / "old.pt"
    state = legacy_state(stock)
    state["args"].data = f"{corpus}/bin"
    torch.save(state, file, _use_new_zipfile_serialization=zipped)
    models, cfg = checkpoint_utils.load_model_ensemble([str(file)])
    assert cfg.model.arch == "transformer_iwslt_de_en"
    loaded = safe_load.load_checkpoint(file)["extra_state"]["train_meters"]["loss"]
    assert (type(loaded), loaded.avg) == (meters.AverageMeter, 3.0)
    assert same(dict(models[0].decoder.state_dict()), {
        name[len("decoder.") :]: value for name, value in state["model"].items() if name.startswith("decoder.")
    })  # fmt: skip


def test_omegaconf_checkpoints_of_2020_load(stock, tmp_path):
    state = plain_load(stock / "adam" / "checkpoint_last.pt")
    state["cfg"] = convert_namespace_to_omegaconf(state["cfg"]["model"])
    torch.save(state, tmp_path / "omega.pt")
    loaded = checkpoint_utils.load_checkpoint_to_cpu(str(tmp_path / "omega.pt"))["cfg"]
    assert OmegaConf.is_config(loaded)
    assert loaded.optimization.lr == [0.01]
    assert loaded.model.arch == "transformer_iwslt_de_en"


# ------------------------------------------------------------------------------------------ the fused layer


class FakeTask:
    cfg = Namespace(left_pad_target=False)
    source_dictionary = target_dictionary = Dictionary()
    for _ in range(9):
        target_dictionary.add_symbol(f"w{_}")


def architecture(name, **changes):
    args = Namespace(**changes)
    ARCH_CONFIG_REGISTRY[name](args)
    return ARCH_MODEL_REGISTRY[name].build_model(args, FakeTask())


def encoder_config(**changes):
    cfg = TransformerConfig()
    cfg.encoder.embed_dim, cfg.encoder.ffn_embed_dim, cfg.encoder.attention_heads = 8, 12, 2
    cfg.dropout = 0.0
    for name, value in changes.items():
        setattr(cfg, name, value)
    return cfg


@pytest.mark.parametrize("kind", ["adam", "nag_big", "sgd_plateau", "ema", "multilingual", "simple_epoch"])
def test_training_is_bit_identical_to_stock(kind, stock, corpus, tmp_path):
    ours = plain_load(tiny_training.train(corpus, tmp_path, tiny_training.KINDS[kind]))
    theirs = plain_load(stock / kind / "checkpoint_last.pt")
    kept = {name: value for name, value in theirs["model"].items() if name in ours["model"]}
    assert same(dict(ours["model"]), kept)
    dropped = set(theirs["model"]) - set(kept)
    hidden = [name for name in dropped if name.rpartition(".")[2] in DUPLICATE_PARAMETERS]
    assert len(dropped) == len(hidden) in (0, 8)
    assert ours["extra_state"]["val_loss"] == theirs["extra_state"]["val_loss"]


def test_parameters_are_counted_once():
    model = architecture("transformer_iwslt_de_en")
    linear = lambda inputs, outputs: inputs * outputs + outputs  # noqa: E731
    attention, norm = 4 * linear(512, 512), 2 * 512
    feed_forward = linear(512, 1024) + linear(1024, 512)
    layers = 6 * (attention + feed_forward + 2 * norm) + 6 * (2 * attention + feed_forward + 3 * norm)
    words = len(FakeTask.source_dictionary) * 512
    assert sum(parameter.numel() for parameter in model.parameters()) == layers + 3 * words


def test_stock_checkpoints_load_and_resume(stock, corpus, tmp_path):
    source = stock / "adam" / "checkpoint_last.pt"
    models, _ = checkpoint_utils.load_model_ensemble([str(source)], arg_overrides={"data": f"{corpus}/bin"})
    stored = plain_load(source)["model"]
    weights = dict(models[0].state_dict())
    assert same(weights, {name: stored[name] for name in weights})
    resumed = f"{tiny_training.KINDS['adam']} --restore-file {source} --reset-optimizer --reset-dataloader"
    tiny_training.train(corpus, tmp_path, resumed, updates=2)


def test_stopping_and_resuming_is_bit_identical(corpus, tmp_path):
    straight = tiny_training.train(corpus, tmp_path / "straight", tiny_training.KINDS["ema"], updates=4)
    tiny_training.train(corpus, tmp_path / "stopped", tiny_training.KINDS["ema"], updates=2)
    resumed = tiny_training.train(corpus, tmp_path / "stopped", tiny_training.KINDS["ema"], updates=4)
    left, right = plain_load(straight), plain_load(resumed)
    for part in ("model", "last_optimizer_state"):
        assert same(dict(left[part]), dict(right[part]))


def test_repaired_checkpoints_load_into_stock_fairseq(corpus, tmp_path):
    ours = tiny_training.train(corpus, tmp_path, tiny_training.KINDS["adam"])
    script = f"""
import sys, torch
from fairseq.models import ARCH_MODEL_REGISTRY
from fairseq.data import Dictionary, TokenBlockDataset
state = torch.load({str(ours)!r}, weights_only=False)
args = state["cfg"]["model"]
class Task:
    source_dictionary = Dictionary.load({f"{corpus}/bin/dict.de.txt"!r})
    target_dictionary = Dictionary.load({f"{corpus}/bin/dict.en.txt"!r})
model = ARCH_MODEL_REGISTRY[args.arch].build_model(args, Task)
model.load_state_dict(state["model"], strict=True)
assert "fairseq_plugins" not in sys.modules
parameters = dict(model.named_parameters())
print("loaded", all(torch.equal(parameters[k], v) for k, v in state["model"].items() if k in parameters))
"""
    assert "loaded True" in run_stock("-c", script).stdout


class CountedAttention(torch.nn.Module):
    """An attention without ``q_proj.weight``: a mean over the sentence behind an MLP."""

    def __init__(self, width):
        super().__init__()
        self.q_proj = torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.ReLU())
        self.calls = 0

    def forward(self, query, key, value, **_):
        self.calls += 1
        return self.q_proj(query) + value.mean(0, keepdim=True), None


class CountedLayer(TransformerEncoderLayerBase):
    def build_self_attention(self, embed_dim, cfg):
        self.asked_for = embed_dim
        return CountedAttention(embed_dim)


def test_sample_break_mode_eos():
    """One block a line, as the lengths say; numpy 2 has no longer what fairseq takes for its indices."""
    lines = [torch.tensor([5, 6, 2]), torch.tensor([7, 2])]
    blocks = TokenBlockDataset(lines, [3, 2], block_size=None, pad=1, eos=2, break_mode="eos")
    assert [block.tolist() for block in blocks] == [[5, 6, 2], [7, 2]]


def test_workers_know_the_epoch():
    """Random masks change from epoch to epoch in worker processes as they do without."""

    class Epochs(torch.utils.data.Dataset):
        epoch = 0

        def __getitem__(self, index):
            return 10 * self.epoch + index

        def __len__(self):
            return 2

        def set_epoch(self, epoch):
            self.epoch = epoch

    seen = []
    for workers in (0, 1):
        batches = EpochBatchIterator(
            Epochs(), collate_fn=list, batch_sampler=[[0, 1]], num_workers=workers, reuse_dataloader=True
        )
        seen.append([list(batches.next_epoch_itr(shuffle=False)) for _ in range(3)])
    assert seen == [[[[10, 11]], [[20, 21]], [[30, 31]]]] * 2


def test_a_custom_attention_is_built_and_called_after_loading():
    layer = CountedLayer(encoder_config())
    assert layer.asked_for == 8
    assert next(iter(layer._modules)) == "self_attn"
    assert "build_self_attention" not in vars(layer)
    fresh = CountedLayer(encoder_config()).eval()
    fresh.load_state_dict(layer.state_dict())
    source = torch.randn(5, 2, 8)
    with torch.no_grad():
        out = fresh(source, torch.zeros(2, 5, dtype=torch.bool))
        assert fresh.self_attn.calls == 1
        assert torch.allclose(out, layer.eval()(source, None))
        fresh.self_attn.q_proj[0].weight.zero_()
        assert not torch.allclose(out, fresh(source, None))


def test_a_layer_that_cannot_be_built_leaves_its_error():
    class Broken(TransformerEncoderLayerBase):
        def build_self_attention(self, embed_dim, cfg):
            raise RuntimeError("no such attention")

    with pytest.raises(RuntimeError, match="no such attention"):
        Broken(encoder_config())


def test_stock_attention_is_called_after_loading_too():
    layer = TransformerEncoderLayerBase(encoder_config())
    fresh = TransformerEncoderLayerBase(encoder_config()).eval()
    fresh.load_state_dict(layer.state_dict())
    calls = []
    fresh.self_attn.register_forward_hook(lambda *_: calls.append(1))
    padding = torch.tensor([[False] * 5, [True] + [False] * 4])
    with torch.no_grad():
        fresh(torch.randn(5, 2, 8), padding)  # stock fairseq on torch >= 2 stops here, and never calls self_attn
    assert calls == [1]
    assert not getattr(fresh, "can_use_fastpath", False)  # main has no such thing


def test_only_the_layers_own_duplicates_are_dropped():
    layer = TransformerEncoderLayerBase(encoder_config())
    old = layer.state_dict()
    duplicated = OrderedDict(old)
    for name in DUPLICATE_PARAMETERS:
        duplicated[name] = torch.zeros(1)
    parent, nested = torch.nn.ModuleDict({"layers": layer}), {f"layers.{k}": v for k, v in duplicated.items()}
    parent.load_state_dict(nested)
    assert set(nested) == {f"layers.{k}" for k in duplicated}  # the caller's dictionary is not touched
    duplicated["in_proj_weird"] = torch.zeros(1)
    duplicated["self_attn.in_proj_weird"] = torch.zeros(1)
    with pytest.raises(RuntimeError) as caught:
        layer.load_state_dict(duplicated)
    assert "in_proj_weird" in str(caught.value)
    assert "self_attn.in_proj_weird" in str(caught.value)
    assert "fc1_weight" not in str(caught.value)


def test_layers_are_copied_and_pickled():
    layer = TransformerEncoderLayerBase(encoder_config()).eval()
    source = torch.randn(3, 2, 8)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert list(other.state_dict()) == list(layer.state_dict())
        assert torch.equal(other(source, None), layer(source, None))


def test_the_model_can_still_be_scripted():
    model = architecture("transformer_tiny").eval()
    source = torch.tensor([[4, 5, 2], [1, 6, 2]])
    arguments = (source, torch.tensor([3, 2]), torch.tensor([[2, 7, 8], [2, 9, 1]]))
    with torch.no_grad():
        assert torch.allclose(torch.jit.script(model)(*arguments)[0], model(*arguments)[0], atol=1e-6)


# ------------------------------------------------------------------------------------------ the smaller ones


@pytest.mark.parametrize("cfg", [
    Namespace(arch="transformer_nobodys", dropout={"a": 1}, user_dir="/plugins/nobody"),
    OmegaConf.create({"_name": "transformer_nobodys", "nested": {"a": 1}, "user_dir": "/plugins/nobody"}),
])  # fmt: skip
def test_an_unknown_model_is_named_with_the_remedy(cfg):
    with pytest.raises(ValueError, match=r"transformer_nobodys.*--user-dir.*trained with --user-dir /plugins/nobody"):
        build_model(cfg, None)


def test_hydra_is_quiet_and_only_hydra(monkeypatch):
    monkeypatch.setattr(compat, "apply", lambda: None)  # which --user-dir would call in between

    def start(silenced):
        parser = options.get_generation_parser()
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            if silenced:
                compat.messages.hydra_warnings()
            convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, ["data", "--path", "x"]))
            warnings.warn("somebody else's warning", stacklevel=1)
        return [str(warning.message) for warning in seen]

    assert start(silenced=True) == ["somebody else's warning"]
    if hasattr(hydra, "initialize"):
        assert len(start(silenced=False)) > 4  # hydra 1.0 has nothing to say


USER_DIRS = """
import sys
from argparse import Namespace
from fairseq import utils
first, *others, different = sys.argv[1:]
if first == "import":
    import fairseq_plugins
else:
    utils.import_user_module(Namespace(user_dir=first))
here = sys.modules["fairseq_plugins"].__file__
for other in others:
    utils.import_user_module(Namespace(user_dir=other))
assert sys.modules["fairseq_plugins"].__file__ == here
assert not [name for name in sys.modules if name.startswith(("linked", "copies"))]
try:
    utils.import_user_module(Namespace(user_dir=different))
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize("first", ["import", "link"])
def test_one_package_by_many_roads(first, tmp_path):
    import shutil

    package = ROOT / "fairseq_plugins"
    link = tmp_path / "linked_plugins"
    link.symlink_to(package)
    for name in ("same", "different"):
        shutil.copytree(package, tmp_path / name / "fairseq_plugins", ignore=shutil.ignore_patterns("__pycache__"))
    changed = tmp_path / "different" / "fairseq_plugins"
    (changed / "cli.py").write_text("# another version\n")
    roads = [package, f"{package}/", os.path.relpath(package, tmp_path), link, tmp_path / "same" / "fairseq_plugins"]
    start = "import" if first == "import" else os.path.relpath(package, tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT) if first == "import" else ""}
    command = [quick_python(), "-c", USER_DIRS, start, *map(str, roads), str(changed)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert str(changed) in done.stdout
    assert str(package) in done.stdout
    assert "different contents" in done.stdout


def test_other_plugins_are_imported_as_before(tmp_path):
    plugin = tmp_path / "somebodys_plugin"
    plugin.mkdir()
    (plugin / "__init__.py").write_text("loaded = True\n")
    path = list(sys.path)
    try:
        utils.import_user_module(Namespace(user_dir=str(plugin)))
        assert sys.modules["somebodys_plugin"].loaded
        with pytest.raises(FileNotFoundError):
            utils.import_user_module(Namespace(user_dir=str(tmp_path / "missing")))
    finally:
        sys.path[:] = path
        sys.modules.pop("somebodys_plugin", None)


def test_two_processes_on_a_cpu_resume_a_training(corpus, tmp_path):
    """Spawned children find the plugin's model; the default backend on the CPU, and the broadcast of the checkpoint."""
    options = tiny_training.KINDS["adam"].replace("transformer_iwslt", "transformer_neuralqkv_iwslt")
    tiny_training.train(corpus, tmp_path / "run", options, updates=2)
    arguments = options.split()[1:]
    command = [
        *[quick_python(), "-m", "fairseq_cli.train", f"{corpus}/bin", *arguments, "--cpu", "--max-tokens", "80"],
        *["--lr", "0.01", "--max-update", "3", "--distributed-world-size", "2", "--disable-validation"],
        *["--num-workers", "0", "--user-dir", str(ROOT / "fairseq_plugins"), "--save-dir", str(tmp_path / "run")],
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "@ 2 updates" in done.stdout + done.stderr
    assert "initialized host" in done.stdout + done.stderr
    state = plain_load(tmp_path / "run" / "checkpoint_last.pt")
    assert state["optimizer_history"][-1]["num_updates"] == 3
    assert state["cfg"]["distributed_training"]["distributed_world_size"] == 2


def test_our_command_starts_without_fairseqs_noise():
    """Of what importing fairseq logs and warns, nothing is left."""
    done = subprocess.run(
        [sys.executable, "-m", "fairseq_plugins.cli", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "COMMAND" in done.stdout
    assert done.stderr == ""
