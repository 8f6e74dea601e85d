"""docs/reference/http.md: its examples are run, and its tables are what the door is made of."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from temper.service import Loaded, Person, Settings, Workshop
from temper.web.paths import Resource
from temper.web.problems import KINDS
from temper.web.verbs import OPERATIONS
from tests.house.tree import ROOT
from tests.web.test_server import running

PAGE = (ROOT / "docs" / "reference" / "http.md").read_text()


@dataclass(frozen=True, slots=True)
class Example:
    """A request of the page, and the answer that the page shows."""

    method: str
    target: str
    headers: dict[str, str]
    body: str
    status: int
    shown_headers: dict[str, str]
    shown: Any


def examples() -> Iterator[Example]:
    """Each pair of blocks, in the page's order."""
    blocks = re.findall(r"^```http\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) % 2 == 0
    for request, answer in zip(blocks[::2], blocks[1::2], strict=True):
        first, headers, body = _parts(request)
        line, shown_headers, shown = _parts(answer)
        method, target = first.split(" ")
        yield Example(
            method, target, headers, body, int(line.split(" ")[0]), shown_headers, _shown(shown) if shown else None
        )


def _parts(block: str) -> tuple[str, dict[str, str], str]:
    head, _, body = block.partition("\n\n")
    first, *lines = head.strip().split("\n")
    return first, dict(line.split(": ", 1) for line in lines), body.rstrip("\n")


def _shown(text: str) -> Any:
    """Read JSON in which `...` stands for what is left out: a value, other members, other items."""
    members = re.sub(r"(?<=, )\.\.\.(?=})", '"...": "..."', text)
    return json.loads(re.sub(r"(?<=: )\.\.\.|(?<=\[)\.\.\.|(?<=, )\.\.\.", '"..."', members))


def fits(shown: Any, got: Any) -> bool:
    """Say whether `got` is what the page shows, apart from what it leaves out."""
    if shown == "...":
        return True
    if isinstance(shown, dict) and isinstance(got, dict):
        names = set(shown) - {"..."}
        whole = names <= set(got) if "..." in shown else names == set(got)
        return whole and all(fits(shown[name], got[name]) for name in names)
    if isinstance(shown, list) and isinstance(got, list):
        if "..." not in shown:
            return len(shown) == len(got) and all(map(fits, shown, got))
        rest = iter(got)
        return all(any(fits(item, each) for each in rest) for item in shown if item != "...")
    return bool(shown == got)


@pytest.mark.parametrize(
    ("shown", "got", "fit"),
    [
        ('{"a": 1}', {"a": 1}, True),
        ('{"a": 1}', {"a": 1, "b": 2}, False),
        ('{"a": 1, ...}', {"a": 1, "b": 2}, True),
        ('{"a": 1, ...}', {"b": 2}, False),
        ('{"a": ...}', {"a": [1, {}]}, True),
        ('[{"a": ...}]', [], False),
        ('[..., {"a": 1}, ...]', [{"a": 2}, {"a": 1}], True),
        ('[..., {"a": 1}, {"a": 2}]', [{"a": 2}, {"a": 1}], False),
    ],
)
def test_what_is_left_out_fits_and_nothing_else(shown: str, got: Any, fit: bool) -> None:
    """One row, one way to leave something out, or not."""
    assert fits(_shown(shown), got) is fit


async def test_every_example_is_answered_as_the_page_shows(tmp_path: Path) -> None:
    """In order, over a socket, with the real workshop behind it."""
    workshop = await Workshop.open(Loaded(Settings(), tmp_path))
    try:
        root = Person("root", admin=True)
        token = workshop.make_token(root, "ann", ("owner",), admin=True).token
        async with (
            running(workshop) as server,
            httpx2.AsyncClient(
                base_url=f"http://127.0.0.1:{server.port}", headers={"authorization": f"Bearer {token}"}, timeout=60
            ) as client,
        ):
            for each in examples():
                answer = await client.request(
                    each.method, each.target, headers=each.headers, content=each.body.encode()
                )
                told = f"{each.method} {each.target}: {answer.status_code} {answer.text}"
                assert answer.status_code == each.status, told
                assert {name: answer.headers.get(name) for name in each.shown_headers} == each.shown_headers, told
                assert each.shown is None or fits(each.shown, answer.json()), told
    finally:
        await workshop.close()


def rows(heading: str) -> list[list[str]]:
    """The rows of the table under a heading."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.split("\n") if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


def test_every_path_and_method_is_listed() -> None:
    """And none that is not there."""
    listed = {path.strip("`"): set(re.findall(r"\b(GET|PUT|POST|DELETE)\b", said)) for path, said in rows("Paths")}
    pages = {Resource.ROOT, Resource.HEALTH, Resource.PROBLEM}
    assert listed == {
        **{resource.value: set(methods) for resource, methods in OPERATIONS.items()},
        **{resource.value: {"GET"} for resource in pages},
        Resource.HOOK.value: {"POST"},
    }


def test_every_parameter_is_listed() -> None:
    """With the path that takes it."""
    for path, said in rows("Paths"):
        resource = Resource(path.strip("`"))
        known = {name for each in OPERATIONS.get(resource, {}).values() for name in each.query}
        told = set(re.findall(r"\?(\w+)=", said))
        # That a stream goes on after an event is told under its own heading.
        assert told <= known
        assert known - told <= {"after", "dry_run"}, path


def test_every_kind_of_problem_is_listed() -> None:
    """In the words of its own page."""
    assert rows("When it is refused") == [[f"`/problems/{kind}`", said] for kind, said in KINDS.items()]


def test_every_bound_is_listed() -> None:
    """With its value and what is answered at it, as the code has them."""
    source = (ROOT / "src" / "temper" / "web" / "limits.py").read_text()
    bounds = re.findall(r"^    (\w+): \w+ = (.+?)  # (.+)$", source, re.MULTILINE)
    assert rows("Bounds") == [[f"`{name}`", value, said] for name, value, said in bounds]
