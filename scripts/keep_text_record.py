#!/usr/bin/env python3
"""Copy the record of a text and the files that it names into a run: keep_text_record.py DATA_BIN FOLDER.

A training does without where a file is missing or another one; that is said.
"""

import sys
from pathlib import Path

from fairseq_plugins.errors import UserError
from fairseq_plugins.text.record import read_record


def main() -> None:
    data, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    try:
        record = read_record(data.parent / "text.json")
        # Beside a folder of other data it says nothing of them.
        if all((record.folder / file.name).parent == data for file in record.dictionaries.values()):
            record.copy(folder)
    except (UserError, OSError) as error:
        print(f"train.sh: no record of the text is kept: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
