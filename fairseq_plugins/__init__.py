"""Four lines of work on attention for fairseq, loaded by ``--user-dir fairseq_plugins``.

Importing this package imports neither torch nor fairseq. ``import fairseq_plugins.models`` applies the repairs of
:mod:`fairseq_plugins.compat` and registers every architecture, criterion and optimizer; ``--user-dir`` does it by
itself, and so does importing this package after fairseq's models. Under another name (a link or a copy, a folder of
somebody's package) it is the same package, once.
"""

__version__ = "0.1.0"

if __name__ == "fairseq_plugins":
    from fairseq_plugins.front_door import open_door

    open_door()
else:
    import sys
    from pathlib import Path

    _folder = Path(__file__).resolve().parent
    if _folder.name == "fairseq_plugins" and "fairseq_plugins" not in sys.modules:
        sys.path.insert(0, str(_folder.parent))  # as fairseq does for --user-dir
    try:
        import fairseq_plugins.models
    except ModuleNotFoundError as error:
        if error.name != "fairseq_plugins":
            raise
        raise ImportError(
            f"{_folder} holds the package fairseq_plugins under the name {_folder.name}: rename it, or link to it"
        ) from None
    fairseq_plugins.front_door.stand_for(__name__, Path(__file__).parent)
