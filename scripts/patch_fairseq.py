#!/usr/bin/env python3
"""Apply the two-file source patch that lets fairseq 0.12.2 build on Python 3.11+ and with pip 24.1+.

Usage: python scripts/patch_fairseq.py UNPACKED_SDIST

1. ``fairseq/dataclass/configs.py``: Python 3.11 refuses unhashable dataclass instances as
   field defaults (fairseq#5012); giving every ``FairseqDataclass`` an identity hash lifts that.
2. ``setup.py``: the pins ``omegaconf<2.1`` (metadata that pip 24.1 rejects, fairseq#5511) and
   ``hydra-core<1.1`` (broken on Python 3.11) move to the current minor releases, and the
   requirements that fairseq never imports at run time are dropped.

Every edit must match exactly once; anything else ends in an error and leaves the files untouched.
"""

import os
import sys
from pathlib import Path

EDITS = {
    "fairseq/dataclass/configs.py": [
        (
            "    _name: Optional[str] = None\n\n    @staticmethod\n    def name():\n",
            "    _name: Optional[str] = None\n\n"
            "    def __init_subclass__(cls, **kwargs):\n"
            "        super().__init_subclass__(**kwargs)\n"
            "        cls.__hash__ = object.__hash__\n\n"
            "    @staticmethod\n    def name():\n",
        ),
    ],
    "setup.py": [
        ('"hydra-core>=1.0.7,<1.1"', '"hydra-core>=1.3,<1.4"'),
        ('"omegaconf<2.1"', '"omegaconf>=2.3,<2.4"'),
        ('            "cffi",\n            "cython",\n', ""),
        ('            "torchaudio>=0.8.0",\n', ""),
    ],
}


def patched(text, edits, name):
    for old, new in edits:
        if text.count(old) != 1:
            raise SystemExit(
                f"patch_fairseq: {name} does not hold {old!r} exactly once; this patch is for the fairseq 0.12.2 sdist"
            )
        text = text.replace(old, new)
    return text


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    if len(argv) != 1 or argv[0] in ("-h", "--help"):
        raise SystemExit(__doc__)
    root = Path(argv[0])
    results = {}
    for name, edits in EDITS.items():
        path = root / name
        if not path.is_file():
            raise SystemExit(f"patch_fairseq: {path} not found; give the folder of the unpacked fairseq 0.12.2 sdist")
        results[path] = patched(path.read_text(encoding="utf-8"), edits, name)
    # Both new texts are on disk before either takes its place, so a full disk cannot leave one file patched.
    for path, text in results.items():
        path.with_name(path.name + ".patched").write_text(text, encoding="utf-8")
    for path in results:
        os.replace(path.with_name(path.name + ".patched"), path)


if __name__ == "__main__":
    main()
