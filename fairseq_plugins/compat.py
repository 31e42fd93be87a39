"""Every repair that fairseq and torch need, in one place; nothing else in this package patches anything.

Each repair looks for the defect itself (never for a version), so it leaves fairseq's main branch alone where the
defect is gone, and a second :func:`apply` finds nothing to do. :func:`repairs` lists them with their reasons.

What cannot be repaired from here:

- Forgetting ``--user-dir``: no code of this package runs then, and fairseq dies of ``IndexError: Replacement index
  1 out of range`` (its message for an unknown model passes the configuration's braces to ``str.format``). Where the
  package is imported, the message is repaired.
- ``fairseq-score --sacrebleu`` passes an open file where sacrebleu wants lines, and it imports no ``--user-dir``;
  use the ``sacrebleu`` command.
"""

from __future__ import annotations

import contextlib
import filecmp
import functools
import importlib
import inspect
import logging
import multiprocessing
import multiprocessing.util
import os
import signal
import socket
import sys
import types
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np
import torch

logger = logging.getLogger(__name__)

#: the parameters of fairseq's fused encoder layer that repeat its attention and feed-forward weights
DUPLICATE_PARAMETERS = (
    "in_proj_weight",
    "in_proj_bias",
    "out_proj_weight",
    "out_proj_bias",
    "fc1_weight",
    "fc1_bias",
    "fc2_weight",
    "fc2_bias",
)

APPLIED = "applied"
NOT_NEEDED = "not needed"


@dataclass(frozen=True)
class Repair:
    """One repair: its name, why it exists, where it was reported, and what became of it in this process.

    ``state`` is ``"applied"``, ``"not needed"`` (the defect is not there), ``"failed: ..."`` or, before
    :func:`apply`, ``"pending"``.
    """

    name: str
    reason: str
    thread: str
    state: str = "pending"


_FUNCTIONS: Dict[str, Tuple[Callable[[], bool], str]] = {}
_STATES: Dict[str, str] = {}


def _repair(thread: str) -> Callable[[Callable[[], bool]], Callable[[], bool]]:
    """Register a repair: a function that returns whether it changed something, or had before."""

    def register(function: Callable[[], bool]) -> Callable[[], bool]:
        _FUNCTIONS[function.__name__] = (function, thread)
        return function

    return register


def apply() -> None:
    """Apply every repair that is needed; harmless when repeated.

    A repair that fails (fairseq's code moved) is logged and does not keep the others, or the plugin, from working.
    """
    for name, (function, _) in _FUNCTIONS.items():
        try:
            _STATES[name] = APPLIED if function() else NOT_NEEDED
        except Exception as error:
            _STATES[name] = f"failed: {error!r}"
            logger.warning("fairseq_plugins: the repair %s failed: %r", name, error)


def repairs() -> List[Repair]:
    """The table of repairs in the order in which they are applied."""
    table = []
    for name, (function, thread) in _FUNCTIONS.items():
        reason = " ".join((function.__doc__ or "").split("\n\n")[0].split())
        table.append(Repair(name, reason, thread, _STATES.get(name, "pending")))
    return table


def _mark(function: Any, original: Any) -> Any:
    """Remember that a function is ours, so that a second application finds it."""
    function = functools.wraps(original)(function)
    function._fairseq_plugins = True
    return function


def _marked(function: Any) -> bool:
    return getattr(function, "_fairseq_plugins", False)


class _ModuleView(types.ModuleType):
    """A module as one other module sees it: some names replaced, all others looked up in the original."""

    def __init__(self, module: types.ModuleType, **replaced: Any):
        super().__init__(module.__name__, module.__doc__)
        self.__dict__.update(replaced, _viewed=module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_viewed"], name)


_HYDRA_WARNINGS = (
    r"hydra\.experimental\.(initialize|compose)\(\) is no longer experimental",
    r"\s*The version_base parameter is not specified",
    r"In '.*': Usage of deprecated keyword in package header",
    r"\s*'config' is validated against ConfigStore schema with the same name",
    r"\s*The strict flag in the compose API is deprecated",
)


@_repair("hydra#1030")
def hydra_warnings() -> bool:
    """hydra 1.3 prints sixteen lines about how fairseq calls it at each start; only those messages are silenced."""
    for message in _HYDRA_WARNINGS:
        # filterwarnings moves an equal filter to the front instead of adding another
        warnings.filterwarnings("ignore", message=message, category=UserWarning)
    return True


@_repair("none known")
def tensorboard_hint() -> bool:
    """Importing fairseq logs "Please install tensorboardX", for its text-to-speech task, whatever the task is."""
    logging.getLogger("fairseq.tasks.text_to_speech").addFilter(_is_no_tensorboard_hint)
    return True


def _is_no_tensorboard_hint(record: logging.LogRecord) -> bool:
    return "tensorboardX" not in record.getMessage()


@_repair("fairseq#5603, fairseq#5610")
def checkpoint_loading() -> bool:
    """torch >= 2.6 refuses fairseq's checkpoints, older torch runs whatever a checkpoint says.

    The two functions of ``fairseq.checkpoint_utils`` that read files see a ``torch.load`` that builds only what
    fairseq's checkpoints hold (:mod:`fairseq_plugins.safe_load`); ``torch.load`` itself stays as it is.
    """
    from fairseq import checkpoint_utils

    from . import safe_load

    def load(f: Any, map_location: Any = None, **_: Any) -> Any:
        return safe_load.load_checkpoint(f, map_location)

    if not isinstance(checkpoint_utils.torch, _ModuleView):
        checkpoint_utils.torch = _ModuleView(torch, load=load)
    return True


@_repair("none known")
def attention_overrides() -> bool:
    """``--model-overrides`` only reaches options that a checkpoint's own model has, and passes over all others.

    So attention could be changed at evaluation neither in a stock checkpoint nor in one of fairseq-hydra-train. Where
    options of this plugin's attention are overridden, a stock checkpoint is loaded as its ``baseline`` counterpart.
    """
    from fairseq import checkpoint_utils

    original = checkpoint_utils.load_checkpoint_to_cpu
    if _marked(original):
        return True

    def load(path: Any, arg_overrides: Any = None, load_on_all_ranks: bool = False) -> Any:
        from .checkpoints import override_attention

        state = original(path, arg_overrides, load_on_all_ranks)
        override_attention(state, arg_overrides or {}, str(path))
        return state

    checkpoint_utils.load_checkpoint_to_cpu = _mark(load, original)
    return True


@_repair("fairseq#5603")
def broadcast_loading() -> bool:
    """torch >= 2.6 refuses the objects that processes of one training send each other (resuming with several).

    They come from a process of the same job, which sends plain pickles elsewhere too (``all_gather_list``), and
    the checkpoint that they were made of went through the allow-list; so they are loaded as before torch 2.6.
    """
    from fairseq.distributed import utils as distributed_utils

    from . import safe_load

    if not safe_load.WEIGHTS_ONLY_EXISTS:
        return False
    if not isinstance(distributed_utils.torch, _ModuleView):
        load = functools.partial(torch.load, weights_only=False)
        distributed_utils.torch = _ModuleView(torch, load=load)
    return True


@_repair("fairseq#4899, fairseq#4583")
def fused_encoder_layer() -> bool:
    """fairseq 0.12.2's encoder layers swap a fused kernel in after a checkpoint is loaded.

    With it a custom attention is silently replaced by plain softmax attention in generation, torch >= 2.0 stops
    with "Mask Type should be defined", an attention without ``q_proj.weight`` cannot be built, and eight duplicate
    parameters a layer inflate parameter counts, optimizer and checkpoint and break ``--ddp-backend pytorch_ddp``.
    The duplicates are deleted, and dropped from checkpoints that hold them; main removed all of it too.
    """
    from fairseq.modules.transformer_layer import TransformerEncoderLayerBase as Layer

    def _load_from_state_dict(self: Any, state_dict: Dict[str, Any], prefix: str, *args: Any) -> None:
        for name in DUPLICATE_PARAMETERS:
            state_dict.pop(prefix + name, None)
        super(Layer, self)._load_from_state_dict(state_dict, prefix, *args)

    # on the main branch too: without this it refuses checkpoints of 0.12.2
    if not _marked(Layer._load_from_state_dict):
        Layer._load_from_state_dict = _mark(_load_from_state_dict, Layer._load_from_state_dict)

    init = Layer.__init__
    if _marked(init) or "in_proj_weight" not in init.__code__.co_names:
        return True

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        built: List[torch.nn.Module] = []

        def build_self_attention(*args: Any, **kwargs: Any) -> torch.nn.Module:
            built.append(type(self).build_self_attention(self, *args, **kwargs))
            return _AttentionShape()

        # the original reads q_proj.weight and others only to size the duplicates
        self.__dict__["build_self_attention"] = build_self_attention
        try:
            init(self, *args, **kwargs)
        finally:
            self.__dict__.pop("build_self_attention", None)
        self._modules["self_attn"] = built[0]  # in its place: the optimizer's state follows the modules' order
        for name in DUPLICATE_PARAMETERS:
            self._parameters.pop(name, None)
        self.can_use_fastpath = False

    Layer.__init__ = _mark(__init__, init)
    if "in_proj_weight" in Layer.forward.__code__.co_names:
        Layer.forward = _encoder_layer_forward
    return True


def _encoder_layer_forward(
    self, x, encoder_padding_mask: Optional[torch.Tensor], attn_mask: Optional[torch.Tensor] = None
):  # type: ignore[no-untyped-def]
    """The layer without the fused kernel, as on fairseq's main branch; TorchScript compiles this source.

    Args:
        x: input, T x B x C.
        encoder_padding_mask: B x T, true where a token is padding.
        attn_mask: T x T, true (or 1) where attention is forbidden.
    """
    if attn_mask is not None:
        attn_mask = attn_mask.masked_fill(attn_mask.to(torch.bool), -1e8 if x.dtype == torch.float32 else -1e4)

    residual = x
    if self.normalize_before:
        x = self.self_attn_layer_norm(x)
    x, _ = self.self_attn(
        query=x, key=x, value=x, key_padding_mask=encoder_padding_mask, need_weights=False, attn_mask=attn_mask
    )
    x = self.dropout_module(x)
    x = self.residual_connection(x, residual)
    if not self.normalize_before:
        x = self.self_attn_layer_norm(x)

    residual = x
    if self.normalize_before:
        x = self.final_layer_norm(x)
    x = self.activation_fn(self.fc1(x))
    x = self.activation_dropout_module(x)
    x = self.fc2(x)
    fc_result = x
    x = self.dropout_module(x)
    x = self.residual_connection(x, residual)
    if not self.normalize_before:
        x = self.final_layer_norm(x)

    if self.return_fc and not torch.jit.is_scripting():
        return x, fc_result
    return x


class _AttentionShape(torch.nn.Module):
    """What the fused layer's constructor wants to see of an attention: weights with a shape, here empty."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj = self.out_proj = types.SimpleNamespace(weight=torch.empty(0, 0), bias=torch.empty(0))


@_repair("none known")
def configuration_strings() -> bool:
    """fairseq passes strings of a checkpoint's configuration to ``eval``, ``adaptive_softmax_cutoff`` for one.

    So a checkpoint without any forbidden class could still run code when its model is built. The modules that do
    so see an ``eval`` that computes literals and arithmetic (``[(512, 3)] * 4``) and refuses names and calls.
    """
    import fairseq.models  # noqa: F401  imports all of the modules below

    from . import safe_load

    for name in _EVALUATING_MODULES:
        module = sys.modules.get(name)
        if module is not None:
            module.eval = safe_load.evaluate  # type: ignore[attr-defined]
    return True


_EVALUATING_MODULES = (
    "fairseq.utils",
    "fairseq.criterions.ctc",
    "fairseq.data.audio.raw_audio_dataset",
    "fairseq.models.fconv",
    "fairseq.models.fconv_lm",
    "fairseq.models.fconv_self_att",
    "fairseq.models.hubert.hubert",
    "fairseq.models.lightconv_lm",
    "fairseq.models.speech_to_text.s2t_wav_transformer",
    "fairseq.models.transformer_lm",
    "fairseq.models.wav2vec.wav2vec",
    "fairseq.models.wav2vec.wav2vec2",
    "fairseq.optim.adafactor",
    "fairseq.optim.adam",
    "fairseq.optim.adamax",
    "fairseq.optim.cpu_adam",
    "fairseq.optim.fused_lamb",
)


@_repair("unilm#1089, fairseq#1655")
def unknown_model_message() -> bool:
    """An unknown model, such as one whose ``--user-dir`` was forgotten, ends in ``IndexError`` without a name.

    fairseq passes the configuration, braces and all, to ``str.format``.
    """
    import fairseq.models

    original = fairseq.models.build_model
    if _marked(original):
        return True

    def build_model(cfg: Any, *args: Any, **kwargs: Any) -> Any:
        name = getattr(cfg, "_name", None) or getattr(cfg, "arch", None)
        if name and name not in fairseq.models.ARCH_MODEL_REGISTRY and name not in fairseq.models.MODEL_REGISTRY:
            folder = getattr(cfg, "user_dir", None)
            trained = f" (it was trained with --user-dir {folder})" if folder else ""
            raise ValueError(
                f"unknown model or architecture {name!r}: if a plugin defines it, name the plugin's folder with "
                f"--user-dir{trained}"
            )
        return original(cfg, *args, **kwargs)

    fairseq.models.build_model = _mark(build_model, original)
    return True


@_repair("fairseq#2815, fairseq#2081")
def user_dir_twice() -> bool:
    """``--user-dir`` fails or registers everything twice when the package was imported by another road before.

    ``import fairseq_plugins``, an installed copy, a symbolic link and the folder itself are one package here;
    another folder of the same name with other contents is an error that names both.
    """
    from fairseq import utils

    original = utils.import_user_module
    if _marked(original):
        return True

    def import_user_module(args: Any) -> None:
        user_dir = getattr(args, "user_dir", None)
        if user_dir is None or not _is_this_package(user_dir):
            original(args)

    utils.import_user_module = _mark(import_user_module, original)
    return True


def _is_this_package(user_dir: str) -> bool:
    """Whether the folder is the package that is running; ImportError when it only has its name."""
    here = Path(__file__).resolve().parent
    there = Path(user_dir).resolve()
    if there == here:
        return True
    if Path(os.path.abspath(user_dir)).name != __name__.split(".")[0] or not there.is_dir():
        return False
    if _sources(there) == _sources(here) and not filecmp.cmpfiles(here, there, _sources(here), shallow=False)[1]:
        logger.info("--user-dir=%s holds the same files as %s, which is imported already", user_dir, here)
        return True
    raise ImportError(
        f"--user-dir={user_dir} ({there}) and the package {here}, which is imported already, have the same name and "
        f"different contents. Give --user-dir {here}, or uninstall that copy (pip uninstall {__name__.split('.')[0]})."
    )


def _sources(folder: Path) -> List[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.py"))


@_repair("fairseq#2879")
def cpu_data_parallel() -> bool:
    """``--ddp-backend pytorch_ddp``, the default, names a GPU for a model that is on the CPU and stops."""
    from fairseq.models import distributed_fairseq_model as module

    original = module.DistributedDataParallel
    if _marked(original):
        return True

    def on_device(module: torch.nn.Module, device_ids: Any = None, output_device: Any = None, **kwargs: Any) -> Any:
        if all(parameter.device.type == "cpu" for parameter in module.parameters()):
            device_ids = output_device = None
        return original(module=module, device_ids=device_ids, output_device=output_device, **kwargs)

    on_device._fairseq_plugins = True  # type: ignore[attr-defined]
    module.DistributedDataParallel = on_device
    return True


@_repair("fairseq#4945")
def numpy_names() -> bool:
    """fairseq asks numpy for ``compat.long``, ``int`` and ``float``, which numpy 1.24 and 2.0 removed.

    ``--sample-break-mode eos`` and bucketed batches stop there.
    """
    gone = {"compat": types.SimpleNamespace(long=int), "int": int, "float": float}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy warns of the names that it is about to remove
        missing = {name: value for name, value in gone.items() if not hasattr(np, name)}
    if not missing:
        return False
    for name in (
        "data.data_utils",
        "data.language_pair_dataset",
        "data.token_block_dataset",
        "modules.dynamic_crf_layer",
    ):
        module = importlib.import_module(f"fairseq.{name}")
        if not isinstance(module.np, _ModuleView):
            module.np = _ModuleView(np, **missing)  # type: ignore[attr-defined]
    return True


@_repair("none known")
def epoch_in_workers() -> bool:
    """With ``--num-workers`` of at least 1 every epoch after the first repeats the first one's random masks.

    The worker processes live on with the dataset of the epoch that they were started in, so a masked language model
    loses its dynamic masking, and a resumed training sees other masks than one that was never stopped. Workers are
    started anew each epoch.
    """
    from fairseq.data.iterators import EpochBatchIterator

    original = getattr(EpochBatchIterator, "_get_iterator_for_epoch", None)
    if original is None or "reuse_dataloader" not in inspect.signature(EpochBatchIterator.__init__).parameters:
        return False
    if _marked(original):
        return True

    def iterator_for_epoch(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.num_workers > 0:
            self.dataloader = None
        return original(self, *args, **kwargs)

    EpochBatchIterator._get_iterator_for_epoch = _mark(iterator_for_epoch, original)
    return True


@_repair("none known")
def worker_signals() -> bool:
    """Slurm sends SIGTERM to all processes; a data-loading worker dies of it and takes the training with it.

    Workers leave the signal to the process that trains, which ends them when it ends.
    """
    from fairseq.data import iterators

    if isinstance(iterators.torch, _ModuleView):
        return True

    class DataLoader(torch.utils.data.DataLoader):
        def __init__(self, *args: Any, **kwargs: Any):
            kwargs.setdefault("worker_init_fn", _leave_sigterm_to_parent)
            super().__init__(*args, **kwargs)

    data = _ModuleView(torch.utils.data, DataLoader=DataLoader)
    iterators.torch = _ModuleView(torch, utils=_ModuleView(torch.utils, data=data))  # type: ignore[attr-defined]
    # Before multiprocessing's own end, which sends them SIGTERM and waits.
    multiprocessing.util.Finalize(None, _kill_workers, exitpriority=10)
    return True


def _leave_sigterm_to_parent(_worker: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _kill_workers() -> None:
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()


@_repair("none known")
def stop_in_order() -> bool:
    """SIGTERM, which clusters send before they take a machine away, loses all since the last checkpoint.

    The training ends after an update with its checkpoint saved: :mod:`fairseq_plugins.stopping`.
    """
    from fairseq_plugins import stopping

    # Importing fairseq_cli.train would set up logging in programs that do not train; it is __main__ under python -m.
    modules = [sys.modules.get(name) for name in ("fairseq_cli.train", "__main__")]
    programs = [vars(module) for module in modules if hasattr(module, "validate_and_save")]
    for program in programs:
        if not _marked(program["validate_and_save"]):
            for name, wrap in stopping.WRAPPERS.items():
                program[name] = _mark(wrap(program[name]), program[name])
    return bool(programs)


@_repair("none known")
def durable_checkpoints() -> bool:
    """An interrupt or a full disk can leave half a checkpoint, or one that is lost with the power.

    fairseq renames the file that it writes, but neither syncs it nor does so for the copies (``checkpoint_last.pt``,
    ``checkpoint_best.pt``), and it writes a failed file three times.
    """
    from fairseq import checkpoint_utils, file_io

    from fairseq_plugins.durable import copy_durably, replacing

    original = checkpoint_utils.torch_persistent_save
    if _marked(original):
        return True

    def torch_persistent_save(obj: Any, filename: Any, async_write: bool = False) -> None:
        if async_write or file_io.IOPathManager or not isinstance(filename, str):
            original(obj, filename, async_write)
            return
        with replacing(filename) as file:
            torch.save(obj, file)

    class PathManager(checkpoint_utils.PathManager):  # type: ignore[name-defined]
        @staticmethod
        def copy(src_path: str, dst_path: str, overwrite: bool = False) -> Any:
            if file_io.IOPathManager:
                return file_io.PathManager.copy(src_path, dst_path, overwrite)
            return copy_durably(src_path, dst_path)

    checkpoint_utils.PathManager = PathManager
    checkpoint_utils.torch_persistent_save = _mark(torch_persistent_save, original)
    return True


@_repair("fairseq#2879")
def cpu_processes() -> bool:
    """``--cpu --distributed-world-size 2`` stops because there are fewer GPUs than processes.

    The processes are started on the CPU and talk by gloo.
    """
    from fairseq.distributed import utils as distributed_utils
    from omegaconf import open_dict

    original = distributed_utils.call_main
    if _marked(original):
        return True

    def call_main(cfg: Any, main: Callable, **kwargs: Any) -> None:
        training = cfg.distributed_training
        processes = training.distributed_world_size
        started = training.distributed_no_spawn or "RANK" in os.environ  # torchrun and Slurm start them themselves
        elsewhere = training.distributed_init_method is not None or training.distributed_port > 0 or cfg.common.tpu
        if not cfg.common.cpu or processes < 2 or started or elsewhere:
            original(cfg, main, **kwargs)
            return
        with contextlib.closing(socket.socket()) as probe:
            probe.bind(("localhost", 0))
            port = probe.getsockname()[1]
        with open_dict(training):
            training.distributed_backend = "gloo"
            training.distributed_init_method = f"tcp://localhost:{port}"
            training.distributed_num_procs = processes
            training.distributed_rank = None  # each process takes its own
        kwargs["start_rank"] = 0
        torch.multiprocessing.spawn(
            fn=distributed_utils.distributed_main, args=(main, cfg, kwargs), nprocs=processes, join=True
        )

    distributed_utils.call_main = _mark(call_main, original)
    return True
