#!/usr/bin/env python3
"""Say for which of the languages sacremoses has no rules: sacremoses_rules.py LANGUAGE...

For such a language it takes the rules of English, and says nothing. It knows a language by the abbreviations that end
in a full stop, or by letters that it counts among a word's.
"""

import sys

from sacremoses import MosesTokenizer
from sacremoses.corpus import NonbreakingPrefixes


def main() -> None:
    abbreviations = set(NonbreakingPrefixes().available_langs.values())
    for language in sys.argv[1:]:
        if language not in abbreviations and MosesTokenizer(language).IsAlnum == MosesTokenizer.IsAlnum:
            print(
                f"sacremoses has no rules for the language {language} and takes the abbreviations of English; "
                "--tokeniser none leaves the text as it is"
            )


if __name__ == "__main__":
    main()
