"""The code of staged models as files of a model's folder, where ``transformers`` finds it by ``trust_remote_code``.

It takes modules from one folder, whose names stand in ``from .name import ...``, and nowhere else: a module of this
package is a file there whose name is its path, and all that it imports of this package comes with it.
"""

from __future__ import annotations

import ast
from importlib.util import find_spec, resolve_name
from pathlib import Path

PACKAGE = "fairseq_plugins"
MODELS = f"{PACKAGE}.huggingface"
HEADER = "# A part of fairseq_plugins (MIT license), as it was when this model was exported.\n"


def write_code(folder: Path, modules: tuple[str, ...]) -> None:
    """Write modules of this package, and all that they import of it, as files of a folder.

    Of a local folder, transformers 4 takes the neighbours that the first file names, and not what these import: the
    modules that were asked for name all.
    """
    left, done = list(modules), set()
    while left:
        name = left.pop()
        if name in done:
            continue
        done.add(name)
        text, needed = flattened(name)
        (folder / f"{file_name(name)}.py").write_text(HEADER + text, encoding="utf-8")
        left += needed
    for name in modules:
        with open(folder / f"{file_name(name)}.py", "a", encoding="utf-8") as file:
            file.write("\nif False:  # what transformers has to find beside this file\n")
            file.writelines(f"    from .{file_name(other)} import __name__\n" for other in sorted(done - {name}))


def file_name(module: str) -> str:
    """``fairseq_plugins.attention.mix.dense`` -> ``attention_mix_dense``."""
    return module.removeprefix(f"{PACKAGE}.").replace(".", "_")


def flattened(module: str) -> tuple[str, list[str]]:
    """A module's text with its imports of this package from neighbouring files, and which modules these are."""
    spec = find_spec(module)
    assert spec is not None, module
    assert spec.origin is not None, module
    lines = Path(spec.origin).read_text(encoding="utf-8").splitlines(keepends=True)
    package = module if spec.submodule_search_locations is not None else module.rpartition(".")[0]
    needed = []
    imports = [node for node in ast.walk(ast.parse("".join(lines))) if isinstance(node, ast.ImportFrom)]
    for node in sorted(imports, key=lambda node: node.lineno, reverse=True):
        source = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
        if source.partition(".")[0] != PACKAGE:
            continue
        indent, made = " " * node.col_offset, []
        for alias in node.names:
            part = f"{source}.{alias.name}"
            if _is_module(part):
                needed.append(part)
                # transformers finds a neighbour by the first line alone
                made.append(f"from .{file_name(part)} import __name__ as _{alias.name}  # noqa: F401")
                made.append(f"from . import {file_name(part)} as {alias.asname or alias.name}  # noqa: F401")
            else:
                needed.append(source)
                named = f" as {alias.asname}" if alias.asname else ""
                made.append(f"from .{file_name(source)} import {alias.name}{named}")
        lines[node.lineno - 1 : node.end_lineno] = [f"{indent}{line}\n" for line in made]
    return "".join(lines), needed


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
