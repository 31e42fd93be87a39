"""A reader for fairseq checkpoints that runs nothing from the file.

A checkpoint is a pickle, and a pickle can call any function. This reader builds tensors, plain containers and
the few classes that fairseq's checkpoints hold (the tables below); any other name, and any pickle instruction
that ``torch.save`` does not write, ends the load with :class:`UntrustedCheckpointError` before anything is
called. It is a ``pickle_module`` for :func:`torch.load` and does not touch torch's global list of safe classes.

torch's own ``weights_only`` would refuse less: it sets any attribute of a tensor, takes hooks and every codec's name,
and gives the state of a file to the classes that it allows; and it cannot read what pickle protocol 3 and newer write.

Numpy and torch builders are stand-ins that check their arguments: a numpy dtype whose flags come from the file,
for one, would let it write to arbitrary memory.
"""

from __future__ import annotations

import _compat_pickle
import argparse
import collections
import os
import pathlib
import pickle
import re
import sys
import tarfile
import typing
from collections.abc import Callable
from typing import Any

import numpy as np
import omegaconf
import torch
from omegaconf import base as omegaconf_base
from omegaconf import nodes as omegaconf_nodes

from fairseq_plugins.errors import UserError

#: set to 1 to read files with Python's own pickle; only for files whose origin you trust
TRUST_VARIABLE = "FAIRSEQ_PLUGINS_TRUST_CHECKPOINTS"


class UntrustedCheckpointError(UserError, pickle.UnpicklingError):
    """A checkpoint asks for a function or class that fairseq's checkpoints do not hold; nothing of it was run.

    Args:
        refused: what the file asked for, such as ``posix.system``.
        file: the file's name, where it is known.
    """

    def __init__(self, refused: str, file: str | None = None):
        self.refused = refused
        self.file = file
        super().__init__(
            f"checkpoint {file or '(unnamed stream)'} refused, and nothing in it was run: it holds {refused}, which "
            "is not part of a fairseq checkpoint and could run code. If you trust where the file comes from, set "
            f"{TRUST_VARIABLE}=1 to load it with Python's own pickle."
        )

    def __reduce__(self) -> Any:
        return type(self), (self.refused, self.file)


def trusted() -> bool:
    """Whether the user asked for Python's own pickle (``FAIRSEQ_PLUGINS_TRUST_CHECKPOINTS=1``)."""
    return os.environ.get(TRUST_VARIABLE, "").strip().lower() in {"1", "true", "yes", "on"}


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """``_codecs.encode`` as pickle protocol 2 writes bytes: any other codec is a search for a module."""
    if encoding not in ("latin1", "latin-1"):
        raise UntrustedCheckpointError(f"_codecs.encode with codec {encoding!r}")
    return text.encode("latin1")


def _numpy_dtype(spec: Any, align: Any = False, copy: Any = True) -> np.dtype:
    """A plain number type; records, objects and subarrays carry pointers or flags and are refused."""
    if not (isinstance(spec, str) and re.fullmatch(r"[<>|=]?[biufc]\d{1,2}", spec)):
        raise UntrustedCheckpointError(f"numpy.dtype({spec!r})")
    return np.dtype(spec, copy=True)  # a copy, because its byte order is set afterwards


def _numpy_array(cls: Any, shape: Any, typecode: Any) -> np.ndarray:
    """The empty array that pickle fills in afterwards (:meth:`Unpickler.load_build`)."""
    return np.ndarray((0,), np.int8)


def _numpy_scalar(dtype: Any, data: Any = b"") -> Any:
    """A numpy number from its bytes."""
    data = data.encode("latin1") if isinstance(data, str) else data
    if not (_is_number_type(dtype) and isinstance(data, bytes) and len(data) == dtype.itemsize):
        raise UntrustedCheckpointError("a numpy scalar that is not a number")
    return np.frombuffer(data, dtype)[0]


def _is_number_type(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and dtype.kind in "biufc" and not dtype.hasobject


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, metadata: Any = None) -> Any:
    """``torch._utils._rebuild_tensor_v2`` without hooks: they would be called in the backward pass."""
    if hooks:
        raise UntrustedCheckpointError("a tensor with backward hooks")
    extra = () if metadata is None else (metadata,)
    return torch._utils._rebuild_tensor_v2(storage, offset, size, stride, grad, collections.OrderedDict(), *extra)  # type: ignore


def _parameter(data: Any, requires_grad: Any, hooks: Any) -> Any:
    """``torch._utils._rebuild_parameter`` without hooks."""
    if hooks or not isinstance(data, torch.Tensor):
        raise UntrustedCheckpointError("a parameter with backward hooks")
    return torch.nn.Parameter(data, bool(requires_grad))


#: what REDUCE may call: (module, name) in the file -> a stand-in or a class without side effects
_CALLABLE: dict[tuple[str, str], Callable[..., Any]] = {
    ("_codecs", "encode"): _encode,
    ("builtins", "bytearray"): bytearray,
    ("builtins", "complex"): complex,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "set"): set,
    ("collections", "Counter"): collections.Counter,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "defaultdict"): collections.defaultdict,
    ("numpy", "dtype"): _numpy_dtype,
    ("pathlib", "PosixPath"): pathlib.Path,
    ("pathlib", "WindowsPath"): pathlib.Path,
    ("pathlib._local", "PosixPath"): pathlib.Path,
    ("torch", "Size"): torch.Size,
    ("torch", "device"): torch.device,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _CALLABLE[_module, "_reconstruct"] = _numpy_array
    _CALLABLE[_module, "scalar"] = _numpy_scalar

#: what NEWOBJ may make and BUILD may fill
_CLASSES: dict[tuple[str, str], type] = {("argparse", "Namespace"): argparse.Namespace}
for _class in [omegaconf.DictConfig, omegaconf.ListConfig, omegaconf_base.Metadata, omegaconf_base.ContainerMetadata]:
    _CLASSES[_class.__module__, _class.__qualname__] = _class
for _name in ("AnyNode", "StringNode", "IntegerNode", "FloatNode", "BooleanNode"):
    _CLASSES["omegaconf.nodes", _name] = getattr(omegaconf_nodes, _name)

#: names that stand for themselves and cannot be called
_NAMES: dict[tuple[str, str], Any] = {("numpy", "ndarray"): np.ndarray}
_NAMES.update({("builtins", t.__name__): t for t in (bool, bytes, dict, float, int, list, str, tuple)})
_NAMES.update({("typing", name): getattr(typing, name) for name in ("Any", "Dict", "List")})

#: instructions that torch.save and old Python pickles write for such data; everything else is refused
_OPCODES = """
    PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT
    BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8
    EMPTY_LIST EMPTY_DICT EMPTY_SET EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 FROZENSET APPEND APPENDS SETITEM
    SETITEMS ADDITEMS BINGET LONG_BINGET BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL REDUCE NEWOBJ BUILD BINPERSID
""".split()  # noqa: SIM905


def _meter_classes() -> dict[tuple[str, str], type]:
    """Meters that fairseq before 0.9 saved whole (``extra_state["train_meters"]``)."""
    from fairseq.logging import meters

    found = {}
    for name in ("AverageMeter", "StopwatchMeter", "SumMeter", "TimeMeter"):
        for module in ("fairseq.meters", "fairseq.logging.meters"):
            found[module, name] = getattr(meters, name)
    return found


def _is_any(value: Any, allowed: Any) -> bool:
    return any(value is candidate for candidate in allowed)


class _Dispatch(dict[int, Callable[..., Any]]):
    def __missing__(self, opcode: int) -> Callable[..., Any]:
        raise UntrustedCheckpointError(f"the pickle instruction {bytes([opcode])!r}")


class Unpickler(pickle._Unpickler):
    """Unpickler that knows the names above and no others; same arguments as :class:`pickle.Unpickler`."""

    # the pure-Python class of the standard library: the C one checks names only, not what is done with them
    dispatch = _Dispatch()
    for _opcode in _OPCODES:
        dispatch[getattr(pickle, _opcode)[0]] = pickle._Unpickler.dispatch[getattr(pickle, _opcode)[0]]
    stack: list[Any]
    pop_mark: Callable[[], list[Any]]

    def find_class(self, module: str, name: str) -> Any:
        """The object for a name of the file; raises :class:`UntrustedCheckpointError` for an unknown one."""
        key = (_compat_pickle.IMPORT_MAPPING.get(module, module), name)
        key = _compat_pickle.NAME_MAPPING.get((module, name), key)
        found: Any
        if key[0].startswith("fairseq."):
            found = _meter_classes().get(key)
        else:
            found = _CALLABLE.get(key) or _CLASSES.get(key) or _NAMES.get(key)
        if found is None and key[0] == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            found = getattr(torch, name)
        if found is None:
            raise UntrustedCheckpointError(".".join(key))
        return found

    def persistent_load(self, pid: Any) -> Any:
        raise UntrustedCheckpointError("a reference to an object outside the file")

    def load_reduce(self) -> None:
        args = self.stack.pop()
        function = self.stack[-1]
        if not (_is_any(function, _CALLABLE.values()) and isinstance(args, tuple)):
            raise UntrustedCheckpointError(f"a call of {function!r}")
        self.stack[-1] = function(*args)

    def load_newobj(self) -> None:
        args = self.stack.pop()
        cls = self.stack.pop()
        if not (_is_any(cls, _CLASSES.values()) or _is_any(cls, _meter_classes().values())) or args != ():
            raise UntrustedCheckpointError(f"an object of {cls!r}")
        self.stack.append(cls.__new__(cls))

    def load_build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        kind = type(target)
        if kind is np.ndarray:
            _fill_array(target, state)
        elif isinstance(target, np.dtype):
            _set_byte_order(target, state)
        elif _is_any(kind, _CLASSES.values()) or _is_any(kind, _meter_classes().values()):
            if not (isinstance(state, dict) and all(isinstance(name, str) for name in state)):
                raise UntrustedCheckpointError(f"a {kind.__name__} whose state is not a dictionary")
            if hasattr(target, "__setstate__"):
                target.__setstate__(state)
            else:
                target.__dict__.update(state)
        elif kind is collections.OrderedDict and isinstance(state, dict):
            # torch hangs the state dictionary's versions here; names of methods would hide the methods
            target.__dict__.update({name: value for name, value in state.items() if name == "_metadata"})
        else:
            raise UntrustedCheckpointError(f"state for an object of {kind!r}")

    def load_append(self) -> None:
        value = self.stack.pop()
        self._expect(list).append(value)

    def load_appends(self) -> None:
        items = self.pop_mark()
        self._expect(list).extend(items)

    def load_setitem(self) -> None:
        value = self.stack.pop()
        key = self.stack.pop()
        self._expect(dict, collections.OrderedDict, collections.defaultdict, collections.Counter)[key] = value

    def load_setitems(self) -> None:
        items = self.pop_mark()
        target = self._expect(dict, collections.OrderedDict, collections.defaultdict, collections.Counter)
        for key, value in zip(items[::2], items[1::2]):
            target[key] = value

    def load_additems(self) -> None:
        items = self.pop_mark()
        self._expect(set).update(items)

    def load_binpersid(self) -> None:
        pid = self.stack.pop()
        # torch.load's own reader also takes "module" here, which looks up source files
        if not (isinstance(pid, tuple) and pid and pid[0] in ("storage", b"storage")):
            raise UntrustedCheckpointError("a reference to an object outside the file")
        self.stack.append(self.persistent_load(pid))

    def _expect(self, *kinds: type) -> Any:
        target = self.stack[-1]
        if type(target) not in kinds:
            raise UntrustedCheckpointError(f"items for an object of {type(target)!r}")
        return target

    for _opcode in "REDUCE NEWOBJ BUILD APPEND APPENDS SETITEM SETITEMS ADDITEMS BINPERSID".split():  # noqa: SIM905
        dispatch[getattr(pickle, _opcode)[0]] = locals()[f"load_{_opcode.lower()}"]
    del _opcode


def _fill_array(target: np.ndarray, state: Any) -> None:
    """Numpy's ``__setstate__`` after a check that the bytes are numbers and as many as the shape says."""
    if isinstance(state, tuple) and len(state) == 5:
        _version, shape, dtype, fortran, data = state
        data = data.encode("latin1") if isinstance(data, str) else data
        sizes = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
        if sizes and _is_number_type(dtype) and isinstance(data, bytes):
            count = 1
            for n in shape:
                count *= n
            if len(data) == count * dtype.itemsize:
                target.__setstate__((1, shape, dtype, bool(fortran), data))  # type: ignore[arg-type]
                return
    raise UntrustedCheckpointError("a numpy array that does not hold plain numbers")


def _set_byte_order(target: np.dtype, state: Any) -> None:
    """Take the byte order from a number type's state and nothing else of it."""
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
    order = order.decode("latin1") if isinstance(order, bytes) else order
    if order not in ("<", ">", "|", "="):
        raise UntrustedCheckpointError("a numpy.dtype with an unknown byte order")
    target.__setstate__((3, order, None, None, None, -1, -1, 0))  # type: ignore[attr-defined]


def load(file: Any, **arguments: Any) -> Any:
    """``pickle.load`` for :func:`torch.load`, which reads the headers of old files with it."""
    return Unpickler(file, **arguments).load()


def load_checkpoint(file: str | os.PathLike[str] | typing.BinaryIO, map_location: Any = "cpu") -> Any:
    """Load what :func:`torch.save` wrote, running nothing from it (unless :func:`trusted`).

    Args:
        file: path, or a seekable binary stream.
        map_location: as in :func:`torch.load`; tensors go to the CPU by default.

    Raises:
        UntrustedCheckpointError: the file holds something that could run code.
        RuntimeError, EOFError, OSError: the file is truncated, damaged or unreadable (torch's own messages).
    """
    if isinstance(file, (str, os.PathLike)):
        with open(file, "rb") as stream:
            return load_checkpoint(stream, map_location)
    name = getattr(file, "name", None)
    if trusted():
        return torch.load(file, map_location=map_location, weights_only=False)
    if os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "") in ("1", "y", "yes", "true"):
        raise RuntimeError(
            "TORCH_FORCE_WEIGHTS_ONLY_LOAD forbids every reader but torch's own, which cannot read fairseq's "
            "checkpoints; unset it: fairseq_plugins reads them with an allow-list that is as strict"
        )
    try:
        _refuse_other_formats(file)
        return torch.load(file, map_location=map_location, pickle_module=sys.modules[__name__], weights_only=False)
    except UntrustedCheckpointError as error:
        raise UntrustedCheckpointError(error.refused, str(name) if name is not None else None) from None


def _refuse_other_formats(file: Any) -> None:
    """torch.load also opens TorchScript archives and tar files, which it does not read with our unpickler alone."""
    start = file.tell()
    try:
        if file.read(4) == b"PK\x03\x04":
            file.seek(start)
            if "constants.pkl" in torch._C.PyTorchFileReader(file).get_all_records():
                raise UntrustedCheckpointError("a TorchScript program")
        else:
            file.seek(start)
            try:
                tarfile.open(fileobj=file, mode="r:").close()
            except (tarfile.TarError, EOFError):
                return
            raise UntrustedCheckpointError("a tar archive (the format of torch before 0.2)")
    finally:
        file.seek(start)
