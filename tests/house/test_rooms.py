"""The map of rooms, held: who may import whom, through which door, and what pure rooms never touch.

`docs/explanation/architecture.md` shows the same map to people; a test here compares the two. Imports under
`TYPE_CHECKING` count: a type is knowledge too. Chains through a third room are import-linter's (`pyproject.toml`).
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

import pytest

from tests.house.tree import ROOT, files

SRC = ROOT / "src" / "temper"

# Top to bottom, as in the picture: a room imports from rooms above its own line only.
MAY_IMPORT: dict[str, frozenset[str]] = {
    "text": frozenset(),
    "syntax": frozenset({"text"}),
    "model": frozenset({"text", "syntax"}),
    "table": frozenset({"text", "model"}),
    "kernel": frozenset({"text", "table"}),
    "verify": frozenset({"text", "table", "kernel"}),
    "runtime": frozenset({"text", "table", "kernel"}),
    "service": frozenset({"text", "syntax", "model", "table", "kernel", "verify", "runtime"}),
    "web": frozenset({"service"}),
    "mcp": frozenset({"service"}),
    "cli": frozenset({"text", "runtime", "service", "web", "mcp"}),
}

# An arrow that only one module of the room may use.
ONLY_IN = {("table", "model"): "compile"}

PURE = frozenset({"text", "syntax", "model", "table", "kernel"})

# Time, chance, and the outside. `importlib` would be a way around this list.
IMPURE_STDLIB = frozenset(
    """
    asyncio builtins concurrent contextvars ctypes fcntl fileinput ftplib getpass glob http imaplib importlib io locale
    logging mmap multiprocessing os pathlib platform poplib pty queue random resource sched secrets select selectors
    shelve shutil signal smtplib socket socketserver sqlite3 ssl subprocess syslog tempfile termios threading time
    timeit urllib uuid webbrowser zoneinfo
    """.split()
)
PURE_THIRD_PARTY = frozenset({"msgspec"})
IMPURE_CALLS = frozenset({"__import__", "breakpoint", "eval", "exec", "input", "open", "print"})
CLOCK_READS = frozenset({"now", "today", "utcnow"})

# Libraries that a room leaves to the rooms below it in the picture.
NEVER = {"service": frozenset({"mcp", "starlette", "uvicorn"})}

Breach = tuple[int, str]


def breaches(file: str, source: str, doors: Mapping[str, frozenset[str]]) -> Iterator[Breach]:
    """What in `source` breaks the map, line by line, if it stood at `src/temper/{file}`.

    `doors` says which names each room's door gives out; a room that is not in it has no door yet.
    """
    path = PurePosixPath(file)
    room = path.parts[0] if len(path.parts) > 1 else None
    if room is not None and room not in MAY_IMPORT:
        yield 1, f"`{room}` is not a room of the map"
        return
    if room is None and path.name not in {"__init__.py", "__main__.py"}:
        yield 1, f"`{file}` stands in no room"
        return
    tree = ast.parse(source)
    for line, module, name in _imports(path, tree):
        top, _, rest = module.partition(".")
        if top == "temper":
            yield from ((line, problem) for problem in _across(path, room, rest, name, doors))
        elif room is not None:
            yield from ((line, problem) for problem in _outside(room, top))
    if room in PURE:
        yield from _impure_calls(tree)


def _imports(path: PurePosixPath, tree: ast.Module) -> Iterator[tuple[int, str, str | None]]:
    """Every import as (line, absolute module, name taken from it or `None` for a plain `import`)."""
    package = ("temper", *path.parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, None
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield alias.lineno, module, alias.name


def _across(
    path: PurePosixPath, room: str | None, rest: str, name: str | None, doors: Mapping[str, frozenset[str]]
) -> Iterator[str]:
    """What is wrong with importing `name` from `temper.{rest}` in the file `path` of `room`."""
    target, _, inside = rest.partition(".")
    if target == room is not None:
        return
    if not target:
        if name != "__version__" or room is None:
            yield "of `temper` itself only `from temper import __version__` is imported"
        return
    if room is None and not (path.name == "__main__.py" and target == "cli"):
        yield f"the package's own `{path.name}` imports no room"
        return
    if room is not None and target not in MAY_IMPORT[room]:
        yield f"`{room}` may not import `{target}`"
        return
    only = ONLY_IN.get((room or "", target))
    if only is not None and path.parts[1] not in {only, f"{only}.py"}:
        yield f"`{room}` may import `{target}` in `{only}` alone"
    if name is None or inside:
        yield f"`{target}` is entered by its front door: `from temper.{target} import ...`"
    elif target in doors and name not in doors[target]:
        yield f"the door of `{target}` does not name `{name}`"


def _outside(room: str, top: str) -> Iterator[str]:
    """What is wrong with importing the library `top` in `room`."""
    if top in NEVER.get(room, ()):
        yield f"`{room}` never imports `{top}`"
    if room in PURE:
        allowed = top not in IMPURE_STDLIB if top in sys.stdlib_module_names else top in PURE_THIRD_PARTY
        if not allowed:
            yield f"`{room}` is pure: no `{top}`"


def _impure_calls(tree: ast.Module) -> Iterator[Breach]:
    clocks = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "datetime"
        for alias in node.names
    }
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_CALLS:
                yield node.lineno, f"a pure room does not call `{name}`"
            case ast.Attribute(value=ast.Name(id=name), attr=attr) if attr in CLOCK_READS and name in clocks:
                yield node.lineno, f"a pure room does not read the clock: `{name}.{attr}`"
            case ast.Attribute(value=ast.Attribute(attr=name), attr=attr) if attr in CLOCK_READS and name in {
                "date",
                "datetime",
            }:
                yield node.lineno, f"a pure room does not read the clock: `{name}.{attr}`"


def _door(source: str) -> frozenset[str] | None:
    """The names in a door's `__all__`, or `None` if it has none."""
    for node in ast.parse(source).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                return frozenset(ast.literal_eval(value))
            case ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.expr() as value):
                return frozenset(ast.literal_eval(value))
            case _:
                pass
    return None


def _doors() -> dict[str, frozenset[str]]:
    sources = {room: SRC / room / "__init__.py" for room in MAY_IMPORT}
    found = {room: _door(path.read_text()) for room, path in sources.items() if path.exists()}
    return {room: names for room, names in found.items() if names is not None}


ROOMS_BUILT = [room for room in MAY_IMPORT if (SRC / room).is_dir() and any((SRC / room).rglob("*.py"))]


def test_every_import_follows_the_map() -> None:
    """One line for each import that does not, as file:line."""
    doors = _doors()
    found = [
        f"src/temper/{file}:{line}: {problem}"
        for path in files(".py", under=("src/temper",))
        for file in [path.relative_to(SRC).as_posix()]
        for line, problem in breaches(file, path.read_text(), doors)
    ]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("room", ROOMS_BUILT)
def test_a_door_says_what_comes_in_what_goes_out_and_what_is_never_there(room: str) -> None:
    """The docstring's lines, and an `__all__`: what the door does not name is the room's own business."""
    door = SRC / room / "__init__.py"
    assert door.exists(), f"`{room}` has no front door"
    says = ast.get_docstring(ast.parse(door.read_text())) or ""
    for word in ("In:", "Out:", "Never:"):
        assert re.search(rf"^{word}\s+\S", says, re.MULTILINE), f"{door}: no line `{word}`"
    assert _door(door.read_text()) is not None, f"{door}: no `__all__`"


def test_the_page_shows_the_same_map() -> None:
    """The table of rooms in architecture.md, read back."""
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    shown: dict[str, frozenset[str]] = {}
    for room, may in re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|[^|]*\|$", page, re.MULTILINE):
        if may.strip() == "everything above":
            shown[room] = frozenset(shown)
        else:
            shown[room] = frozenset(re.findall(r"\w+", re.sub(r"\([^)]*\)", "", may)))
    assert shown == MAY_IMPORT
    assert list(shown) == list(MAY_IMPORT)


def test_the_map_has_no_cycle() -> None:
    """Each room imports from rooms that stand above it in the table."""
    rooms = list(MAY_IMPORT)
    assert all(rooms.index(target) < rooms.index(room) for room, targets in MAY_IMPORT.items() for target in targets)


def test_ruff_keeps_the_same_rooms_pure() -> None:
    """`pyproject.toml` names the pure rooms too, for ruff's banned calls and for import-linter's chains."""
    config = (ROOT / "pyproject.toml").read_text()
    assert f'"!src/temper/{{{",".join(room for room in MAY_IMPORT if room in PURE)}}}/**"' in config
    assert ", ".join(f'"temper.{room}.*"' for room in MAY_IMPORT if room in PURE) in config


DOORS = {"text": frozenset({"Span"}), "table": frozenset({"Table", "step"}), "model": frozenset({"Machine"})}


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("table/step.py", "from temper.text import Span"),
        ("table/step.py", "from temper.table.table import Rule"),
        ("table/step.py", "from .table import Rule"),
        ("table/compile.py", "from temper.model import Machine"),
        ("table/compile/effects.py", "from temper.model import Machine"),
        ("kernel/host.py", "import msgspec, datetime\ndef f(event): return event.now(datetime.UTC)"),
        ("verify/simulate.py", "import random, time"),
        ("verify/simulate.py", "from temper.kernel import Host"),  # No door yet: its names can't be judged.
        ("runtime/clock.py", "from datetime import datetime\ndatetime.now()"),
        ("web/app.py", "import starlette\nfrom temper.service import Workshop"),
        ("cli/main.py", "from temper import __version__"),
        ("__main__.py", "from temper.cli import main"),
    ],
)  # fmt: skip
def test_an_import_that_the_map_allows(file: str, source: str) -> None:
    """One row, one file that is as it should be."""
    assert list(breaches(file, source, DOORS)) == []


@pytest.mark.parametrize(
    ("file", "source", "line", "problem"),
    [
        ("text/draw.py", "\nfrom temper.table import step", 2, "`text` may not import `table`"),
        ("text/draw.py", "if TYPE_CHECKING:\n  from temper.table import step", 2, "`text` may not import `table`"),
        ("text/draw.py", "def f():\n  import temper.table", 2, "`text` may not import `table`"),
        ("verify/explore.py", "from temper.runtime import Clock", 1, "`verify` may not import `runtime`"),
        ("runtime/clock.py", "from temper.verify import Report", 1, "`runtime` may not import `verify`"),
        ("web/app.py", "from ..table import step", 1, "`web` may not import `table`"),
        ("kernel/host.py", "from temper.table.step import step", 1, "entered by its front door"),
        ("kernel/host.py", "import temper.table", 1, "entered by its front door"),
        ("kernel/host.py", "from temper.table import (\n  step,\n  _apply,\n)", 3, "does not name `_apply`"),
        ("kernel/host.py", "from temper.table import *", 1, "does not name `*`"),
        ("kernel/host.py", "from temper import table", 1, "only `from temper import __version__`"),
        ("kernel/host.py", "import temper", 1, "only `from temper import __version__`"),
        ("table/step.py", "from temper.model import Machine", 1, "in `compile` alone"),
        ("table/step.py", "import time", 1, "`table` is pure: no `time`"),
        ("table/step.py", "from os.path import join", 1, "`table` is pure: no `os`"),
        ("kernel/host.py", "import asyncio", 1, "`kernel` is pure: no `asyncio`"),
        ("model/types.py", "import z3", 1, "`model` is pure: no `z3`"),
        ("kernel/host.py", "from datetime import datetime as dt\ndt.now()", 2, "read the clock: `dt.now`"),
        ("kernel/host.py", "import datetime\ndatetime.date.today()", 2, "read the clock: `date.today`"),
        ("syntax/parse.py", "open('x')", 1, "does not call `open`"),
        ("service/verbs.py", "import starlette.requests", 1, "`service` never imports `starlette`"),
        ("helpers/strings.py", "", 1, "not a room of the map"),
        ("helpers.py", "", 1, "stands in no room"),
        ("__init__.py", "from temper.text import Span", 1, "imports no room"),
    ],
)  # fmt: skip
def test_a_planted_import_is_found(file: str, source: str, line: int, problem: str) -> None:
    """One row, one way to break the map: where it is seen, and what is said."""
    found = list(breaches(file, source, DOORS))
    assert [at for at, _ in found] == [line]
    assert problem in found[0][1]
