"""Which parts of the package may import which: three circles, and nowhere a circle of imports."""

import ast
import importlib.util
import sys
from graphlib import CycleError, TopologicalSorter

import pytest
from pipeline_tools import ROOT

PACKAGE = ROOT / "fairseq_plugins"
#: what needs torch alone, or torch and transformers, what --user-dir needs, and what people do with it; "" is the
#: package's own file
ATTENTION = {"attention"}
BESIDE = {"huggingface"}
PLUGIN = {"models", "criterions", "optim", "compat", "checkpoints", "runtime", "errors"}
PLUGIN |= {"", "front_door", "lines", "dictionary", "left_out"}
WORKBENCH = {
    "transfer",
    "report",
    "study",
    "text",
    "glue",
    "parsing",
    "analysis",
    "benchmark",
    "inference",
    "attention_page",
}
WORKBENCH |= {"training_plan", "commands", "cli"}

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def modules(root):
    """Name -> file of every module of a package."""
    found = {}
    for path in root.rglob("*.py"):
        parts = [root.name, *path.relative_to(root).with_suffix("").parts]
        found[".".join(parts[:-1] if path.name == "__init__.py" else parts)] = path
    return found


def statements(node, at_once=True):
    """Every import below a node, and whether it runs as soon as the module is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, at_once
        later = isinstance(child, FUNCTIONS) or (
            isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        )
        yield from statements(child, at_once and not later)


def imported(name, path, at_once=False):
    """The full names that a module imports, of functions and classes, too; ``at_once``: only what runs with it."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for statement, runs in statements(ast.parse(path.read_text(encoding="utf-8"))):
        if at_once and not runs:
            continue
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        else:
            start = importlib.util.resolve_name("." * statement.level + (statement.module or ""), package)
            yield from (f"{start}.{alias.name}" for alias in statement.names)


def above(name):
    """The packages that a module is in, the nearest first."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(len(parts) - 1, 0, -1)]


def arrows(root, at_once=False):
    """Module -> the modules of its package that it imports, and the packages whose own files run on the way."""
    known = modules(root)
    graph = {}
    for name, path in known.items():
        graph[name] = set()
        for full in imported(name, path, at_once):
            target = next((found for found in (full, *above(full)) if found in known), None)
            if target is not None:
                graph[name] |= {target, *above(target)} - {name, *above(name)}  # those above it run already
                graph[name] |= {target} - {name}
    return graph


def room(name):
    """The folder or file right below the package that holds a module; nothing for the package's own file."""
    return ".".join(name.split(".")[1:2])


def rooms(graph):
    """The arrows between rooms."""
    found = {}
    for name, targets in graph.items():
        found.setdefault(room(name), set()).update(room(target) for target in targets if room(target) != room(name))
    return found


def circle(graph):
    """The names on a circle of arrows, if there is one."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def test_every_room_is_in_one_circle():
    found = {room(name) for name in modules(PACKAGE)}
    assert found == ATTENTION | BESIDE | PLUGIN | WORKBENCH
    assert len(found) == sum(map(len, (ATTENTION, BESIDE, PLUGIN, WORKBENCH)))


def test_modules_do_not_import_one_another_in_a_circle():
    assert circle(arrows(PACKAGE, at_once=True)) is None


def test_rooms_do_not_import_one_another_in_a_circle():
    assert circle(rooms(arrows(PACKAGE, at_once=True))) is None


def test_attention_imports_torch_and_numpy_alone():
    inside = {name: path for name, path in modules(PACKAGE).items() if room(name) in ATTENTION}
    assert len(inside) > 30
    full = {found for name, path in inside.items() for found in imported(name, path)}
    others = {name for name in full if not name.startswith("fairseq_plugins.attention.")}
    assert {name.split(".")[0] for name in others} - set(sys.stdlib_module_names) == {"torch", "numpy"}


def test_models_for_transformers_need_neither_fairseq_nor_the_workbench():
    """But for the text that a tokenizer reads."""
    inside = {name: path for name, path in modules(PACKAGE).items() if room(name) in BESIDE}
    full = {found for name, path in inside.items() for found in imported(name, path)}
    ours = {name for name in full if name.startswith("fairseq_plugins.")}
    assert {room(name) for name in ours} == ATTENTION | BESIDE | {"text"}
    assert {name.split(".")[0] for name in full - ours} - set(sys.stdlib_module_names) == {"torch", "transformers"}


def test_the_plugin_never_imports_the_workbench():
    """Not even inside a function: --user-dir must work without it."""
    found = rooms(arrows(PACKAGE))
    assert {name: found[name] & WORKBENCH for name in ATTENTION | PLUGIN if found[name] & WORKBENCH} == {}


@pytest.mark.parametrize(
    ("first", "second", "at_once"),
    [
        ("import made.two.b", "from made.one import a", True),
        ("from ..two import b", "from ..one.a import value", True),
        (
            "try:\n    from ..two.b import value\nexcept ImportError:\n    value = 1",
            "class A:\n    import made.one.a",
            True,
        ),
        ("from ..two import b", "def late():\n    from ..one import a", False),
        ("if TYPE_CHECKING:\n    from ..two import b", "from ..one import a", False),
    ],
)
def test_a_circle_is_found(first, second, at_once, tmp_path):
    for folder, name, text in (("one", "a", first), ("two", "b", second)):
        (tmp_path / "made" / folder).mkdir(parents=True)
        (tmp_path / "made" / folder / "__init__.py").touch()
        (tmp_path / "made" / folder / f"{name}.py").write_text(text)
    (tmp_path / "made" / "__init__.py").touch()
    root = tmp_path / "made"
    assert set(circle(arrows(root))) == {"made.one.a", "made.two.b"}
    assert set(circle(rooms(arrows(root)))) == {"one", "two"}
    assert (circle(arrows(root, at_once=True)) is not None) == at_once


def test_a_package_runs_before_what_is_in_it(tmp_path):
    """``one.a`` needs ``two.b`` and so ``two``, whose own file needs ``one.a``."""
    for file, text in (
        ("one/__init__.py", ""),
        ("one/a.py", "from made.two import b"),
        ("two/__init__.py", "from made.one import a"),
        ("two/b.py", ""),
    ):
        (tmp_path / "made" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "made" / file).write_text(text)
    assert set(circle(arrows(tmp_path / "made", at_once=True))) == {"made.one.a", "made.two"}
