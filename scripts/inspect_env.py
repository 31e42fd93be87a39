#!/usr/bin/env python3
"""What the scripts ask about an environment, answered by that environment's own Python.

Usage: python scripts/inspect_env.py COMMAND [ARGUMENT...]

  has MODULE...            whether all of them can be found: status 1 if not
  gpus                     how many GPUs torch sees
  fingerprint FILE...      one hash over the contents of the files
  torch [SPEC]             version of the installed torch, or nothing; status 3 if it does not fit SPEC
  missing [EXTRA]          the plugin's requirements (those of EXTRA too) that are not met, one a line
  verify ROOT [fairseq]    import everything that training needs (only fairseq and its extensions, if so asked);
                           status 1 and the reason if something fails, else one line a package with its version
  needs WHEEL...           requirements of the wheels for this Python, without torch and numpy, one a line
  verify-wheels            import what a wheelhouse brings, as far as that works without torch and numpy
  drop-damaged MARKER      forget packages left incomplete by an install that began after MARKER was written,
                           so that pip installs them again
"""

import hashlib
import importlib
import importlib.metadata
import importlib.util
import logging
import re
import shutil
import sys
import sysconfig
import warnings
import zipfile
from collections.abc import Callable
from email.parser import Parser
from pathlib import Path

FAIRSEQ = ("fairseq", "fairseq.data.data_utils_fast", "fairseq.data.token_block_utils_fast", "fairseq.libbleu")
TOOLS = ("sacremoses", "subword_nmt", "sacrebleu")
OWN = re.compile("fairseq[-_.]plugins", re.IGNORECASE)
NOT_CARRIED = ("torch", "numpy")
WITHOUT_TORCH = ("hydra", "omegaconf", "antlr4", "bitarray", "regex", "tqdm", "portalocker", "lxml", "joblib", "mock")


def version_of(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def has(*modules):
    return any(importlib.util.find_spec(name) is None for name in modules)


def gpus():
    print(importlib.import_module("torch").cuda.device_count())


def fingerprint(*files):
    digest = hashlib.sha256()
    for file in files:
        content = Path(file).read_bytes()
        digest.update(b"%d\n" % len(content) + content)
    print(digest.hexdigest())


def requirement(text):
    # pip's own copy, because a fresh environment need not have `packaging`.
    from pip._vendor.packaging.requirements import Requirement

    return Requirement(text)


def torch(spec=""):
    version = version_of("torch")
    if version is None:
        return 0
    print(version)
    is_file = "/" in spec or spec.endswith(".whl")
    if spec and not is_file and not requirement(spec).specifier.contains(version, prereleases=True):
        return 3
    return 0


def missing(extra=""):
    try:
        wanted = [requirement(text) for text in importlib.metadata.requires("fairseq_plugins") or []]
    except importlib.metadata.PackageNotFoundError:
        print("fairseq_plugins")
        return
    extras = ["", extra]
    for name in extras:  # it grows: an extra may ask for others of the plugin's own
        asked = [need for need in wanted if need.marker and need.marker.evaluate({"extra": name})]
        own = {other for need in asked if OWN.fullmatch(need.name) for other in need.extras}
        extras += sorted(own.difference(extras))
    for need in wanted:
        if need.marker and not any(need.marker.evaluate({"extra": name}) for name in extras):
            continue
        version = version_of(need.name)
        if version is None or not need.specifier.contains(version, prereleases=True):
            print(need.name)


def needs(*wheels):
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            metadata = Parser().parsestr(archive.read(name).decode("utf-8"))
        for text in metadata.get_all("Requires-Dist", []):
            need = requirement(text)
            if need.name not in NOT_CARRIED and (need.marker is None or need.marker.evaluate({"extra": ""})):
                print(f"{need.name}{need.specifier}")


def first_failure(modules):
    """Import the modules in turn; the reason of the first failure, or None."""
    logging.disable(logging.INFO)  # fairseq's advertisements of optional packages
    for name in modules:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module(name)
        except Exception as error:  # a broken package may raise anything at import
            words = str(error).splitlines() or [""]
            return f"import {name} fails: {type(error).__name__}: {words[0]}"
    return None


def verify_wheels():
    reason = first_failure((*WITHOUT_TORCH, "sacremoses", "subword_nmt"))
    if reason:
        print(reason)
        return 1
    for name in FAIRSEQ:
        if name.count("."):
            # They cannot be imported without torch or numpy; being there for this Python is what can be asked.
            file = Path(sysconfig.get_path("platlib"), *name.split("."))
            if not file.with_name(file.name + sysconfig.get_config_var("EXT_SUFFIX")).is_file():
                print(f"the wheel of fairseq lacks {name}")
                return 1
    return 0


def verify(root, only=""):
    reason = first_failure(FAIRSEQ if only == "fairseq" else ("torch", "numpy", *FAIRSEQ, *TOOLS, "fairseq_plugins"))
    if reason:
        print(reason)
        return 1
    if only == "fairseq":
        return 0
    places = {str(Path(place).resolve()) for place in sys.modules["fairseq_plugins"].__path__}
    if str(Path(root, "fairseq_plugins").resolve()) not in places:
        print(f"fairseq_plugins is imported from {', '.join(sorted(places))}, not from {root}")
        return 1
    torch_module = sys.modules["torch"]
    device = f"CUDA {torch_module.version.cuda}" if torch_module.version.cuda else "CPU build"
    print(f"Python           {sys.version.split()[0]}  ({sys.executable})")
    print(f"torch            {torch_module.__version__}  ({device})")
    print(f"numpy            {sys.modules['numpy'].__version__}")
    print(f"fairseq          {version_of('fairseq') or sys.modules['fairseq'].__version__}")
    print(f"fairseq_plugins  {version_of('fairseq_plugins')}")
    return 0


def drop_damaged(marker):
    began = Path(marker).stat().st_mtime
    for folder in {Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("platlib"))}:
        # pip renames what it is about to delete to ~name; an interrupted uninstall leaves that behind.
        for left_over in folder.glob("~*"):
            if left_over.stat().st_mtime >= began:
                shutil.rmtree(left_over, ignore_errors=True)
        for info in folder.glob("*.dist-info"):
            if info.stat().st_mtime < began:
                continue
            files = importlib.metadata.PathDistribution(info).files if (info / "RECORD").is_file() else None
            if files is None or any(not Path(file.locate()).exists() for file in files if file.suffix != ".pyc"):
                print(info.name[: -len(".dist-info")])
                shutil.rmtree(info)
    return 0


COMMANDS: dict[str, Callable[..., int | None]] = {
    "has": has,
    "gpus": gpus,
    "fingerprint": fingerprint,
    "torch": torch,
    "missing": missing,
    "needs": needs,
    "verify-wheels": verify_wheels,
    "verify": verify,
    "drop-damaged": drop_damaged,
}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit(__doc__)
    # The caller's folder and this script's are no part of the environment.
    sys.path.pop(0)
    sys.exit(COMMANDS[sys.argv[1]](*sys.argv[2:]))
