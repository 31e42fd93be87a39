"""What no checkpoint may hold."""

import os


class Hostile:
    """Unpickled, it runs a command."""

    def __reduce__(self):
        return os.system, ("false",)
