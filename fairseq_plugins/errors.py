"""What a user can mend."""

from __future__ import annotations


class UserError(ValueError):
    """One sentence that names the file, line or option and the remedy; a command ends with it and without a traceback.

    Files that cannot be read or written are ``OSError``s, as Python's own.
    """
