"""A bundle on disk or in a request, and what the front half of the way makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from temper.service.modules import LETTERS_MAX, bring, is_module
from temper.text import Diagnostic, Severity, Source

if TYPE_CHECKING:
    from temper.model import Machine
    from temper.runtime import Policies
    from temper.table import Table

BLUEPRINT_SUFFIX = ".blueprint"
POLICIES_SUFFIX = ".cedar"
# What a bundle may bring to a server: a blueprint is a page long; ten thousand times that is a mistake or an attack.
FILES_MAX = 200
BYTES_MAX = 4_000_000
# What is judged is gone through many times over: a blueprint that fits in a head has some ten of each.
STATES_MAX = 1_000
PIECES_MAX = 10_000
MODULE_BYTES_MAX = 32_000_000


class BundleUnreadable(Exception):
    """The bundle's files cannot be had: `text` says what and where, `help` what to try."""

    def __init__(self, text: str, help: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.help = help


class Checked(Struct, frozen=True):
    """What the texts say. `table` is `None` while there is an error among the `problems`."""

    sources: Mapping[str, Source]
    problems: tuple[Diagnostic, ...]
    machine: Machine | None
    table: Table | None

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """Return the problems that keep it from being compiled."""
        return tuple(problem for problem in self.problems if problem.severity is Severity.ERROR)


def read_bundle(path: Path) -> dict[str, str]:
    """Return the texts of a bundle: of one file, or of the `*.blueprint` files of a folder and of its `scenarios/`.

    Of a folder, its policies (`*.cedar`) too. The modules that they name come along, packed. Raises
    `BundleUnreadable`.
    """
    if path.is_file():
        return _with_modules(path.parent, {path.name: _read(path)})
    if not path.is_dir():
        raise BundleUnreadable(f"there is no file or folder `{path}`", "name a `.blueprint` file or a folder of them")
    paths = sorted(path.glob(f"*{BLUEPRINT_SUFFIX}")) + sorted((path / "scenarios").glob(f"*{BLUEPRINT_SUFFIX}"))
    if not paths:
        raise BundleUnreadable(
            f"`{path}` holds no `*{BLUEPRINT_SUFFIX}` file", "name a bundle's folder, or begin one with `temper new`"
        )
    paths += sorted(path.glob(f"*{POLICIES_SUFFIX}"))
    return _with_modules(path, {str(each.relative_to(path)): _read(each) for each in paths})


def check_texts(files: Mapping[str, str]) -> Checked:
    """Parse, check and compile texts, by file name. Total: whatever is wrong is among the problems."""
    # A bundle whose judgement is looked up is not parsed.
    from temper.model import check
    from temper.syntax import parse_bundle
    from temper.table import compile_machine

    sources = {name: Source(name, text) for name, text in sorted(files.items()) if not is_module(name)}
    tree, unread = parse_bundle(source for name, source in sources.items() if is_blueprint(name))
    machine, unsound = check(tree)
    modules = bring(tree, files)
    problems = (*unread, *unsound, *modules.problems)
    table = None
    if not any(problem.severity is Severity.ERROR for problem in problems):
        table = compile_machine(machine, (*sources.values(), *modules.sources), modules.digests)
    if all(is_blueprint(name) for name in sources):
        # To read policies takes a library, and with it the whole outside: most bundles have none.
        policies = None
    else:
        policies = policies_of(sources.values(), table)
        problems += policies.problems
    problems = _in_order(problems)
    if table is None or any(problem.severity is Severity.ERROR for problem in problems):
        return Checked(sources, problems, None, None)
    return Checked(sources, problems, machine, table if policies is None else with_policies(table, policies))


def is_blueprint(name: str) -> bool:
    """Say whether a file of a bundle is a text of its blueprint, by its name: what is nothing else is one."""
    return not is_module(name) and not name.endswith(POLICIES_SUFFIX)


def policies_of(sources: Iterable[Source], table: Table | None) -> Policies:
    """Return what the policies among a bundle's texts say, and what is wrong with them."""
    from temper.runtime import Policies, read_policies

    ours = [source for source in sources if source.name.endswith(POLICIES_SUFFIX)]
    return read_policies(ours, table) if ours else Policies((), {}, ())


def with_policies(table: Table, policies: Policies) -> Table:
    """Return a table with policies in it, and with their places in its notes."""
    from msgspec.structs import replace

    if not policies.policies:
        return table
    notes = replace(table.notes, places={**table.notes.places, **policies.places})
    return replace(table, policies=policies.policies, notes=notes)


def too_large(table: Table) -> str | None:
    """Return what a server would not have judged for its size, `None` where nothing is."""
    for entity in table.entities.values():
        if len(entity.states) > STATES_MAX:
            return f"`{entity.name}` has {len(entity.states):,} states; an entity has at most {STATES_MAX:,}"
    pieces = sum(
        len(entity.states)
        + len(entity.fields)
        + len(entity.places)
        + sum(len(a.cases) for a in entity.actions.values())
        for entity in table.entities.values()
    )
    pieces += len(table.properties) + sum(len(each.steps) for each in table.scenarios)
    if pieces > PIECES_MAX:
        return f"it has {pieces:,} states, fields, cases, properties and lines of scenarios; at most {PIECES_MAX:,}"
    return None


def _with_modules(folder: Path, texts: Mapping[str, str]) -> dict[str, str]:
    """Add those modules of the folder that stand in a text: what else is built there is nobody's business."""
    files = dict(texts)
    for path in sorted(folder.iterdir()):
        if is_module(path.name) and any(f'"{path.name}"' in text for text in texts.values()):
            files[path.name] = _packed(path)
    return files


def _packed(path: Path) -> str:
    if path.suffix == ".wat":
        return _read(path)
    from temper.runtime import pack

    packed = pack(_bytes(path, MODULE_BYTES_MAX))
    if len(packed) > LETTERS_MAX:
        raise BundleUnreadable(
            f"`{path}` is too large to travel: packed it has {len(packed):,} of {LETTERS_MAX:,} letters"
        )
    return packed


def _bytes(path: Path, most: int) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BundleUnreadable(f"`{path}` cannot be read: {error.strerror}") from error
    if len(content) > most:
        raise BundleUnreadable(f"`{path}` has {len(content):,} bytes; it may have at most {most:,}")
    return content


def _read(path: Path) -> str:
    content = _bytes(path, BYTES_MAX)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BundleUnreadable(f"`{path}` is not UTF-8 (byte {error.start})", "save it as UTF-8") from error


def _in_order(problems: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    return tuple(sorted(problems, key=lambda each: (each.primary.span, each.code.name)))
