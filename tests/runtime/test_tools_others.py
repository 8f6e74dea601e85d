"""Adapters of other packages: the example of the reference page, installed as a package is, and strangers."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from temper.runtime import Answered, Call, Failed, load_tools
from temper.runtime.tools import Kind, Paced, others
from temper.runtime.vault import Vault

EXAMPLE = re.search(r"```python\n(.*?)```", inspect.getdoc(others) or "", re.DOTALL)
Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package with this module, as an installer leaves it on the path."""

    def put(module: str) -> None:
        (tmp_path / "temper_smoke.py").write_text(module)
        about = tmp_path / "temper_smoke-0.1.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: temper-smoke\nVersion: 0.1\n")
        (about / "entry_points.txt").write_text("[temper.adapters]\nsmoke = temper_smoke:build\nhttp = nothing:here\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "temper_smoke", raising=False)

    return put


def loaded(**settings: Any) -> Any:
    tool = {"adapter": "smoke", **settings}
    return load_tools({"tools": {"a.b": tool}, "adapters": {"smoke": {}}}, {}, Vault({}))


async def test_the_example_of_the_page_is_an_adapter(install: Install) -> None:
    """With the pace of every other, and its settings checked as those of every other."""
    assert EXAMPLE is not None
    install(EXAMPLE[1])
    adapters, problems = loaded(colour="white", rate="5/s")
    assert problems == []
    tool = adapters["a.b"]
    assert isinstance(tool, Paced)
    assert await tool.call(Call("o1", "a.b", {}, 1, 1_000)) == Answered({"seen": "white smoke of o1"})
    stormy = await tool.call(Call("o1", "a.b", {"wind": "storm"}, 1, 1_000))
    assert stormy == Failed(Kind.UNAVAILABLE, "too much wind", retry=True)
    _, (problem, *_) = loaded(color="white")
    assert (problem.where, problem.text) == ('tools."a.b"', "`colour` is missing")


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("raise ImportError('no smoke')", "can't be made: ImportError: no smoke"),
        ("def build(settings, shared):\n    raise KeyError('x')", "can't be made: KeyError: 'x'"),
        ("def build(settings):\n    return None", "can't be made: TypeError"),
        ("def build(settings, shared):\n    return None", "made nothing, and did not say why"),
        ("", "can't be made: AttributeError"),
    ],
)
def test_a_package_that_fails_is_a_problem_of_its_tool(install: Install, module: str, said: str) -> None:
    """One row, one way to fail: the tool is not bound, and the settings say why."""
    install(module)
    adapters, (problem,) = loaded()
    assert (adapters, problem.where) == ({}, 'tools."a.b".adapter')
    assert said in problem.text


def test_an_adapter_of_the_server_s_own_is_not_replaced(install: Install) -> None:
    install("")
    tool = {"adapter": "http", "method": "GET", "url": "https://example.com/"}
    adapters, problems = load_tools({"tools": {"a.b": tool}}, {}, Vault({}))
    assert (list(adapters), problems) == (["a.b"], [])


def test_an_adapter_that_nobody_gives_is_a_problem() -> None:
    _, problems = loaded()
    assert "there is no adapter `smoke`" in [each.text for each in problems]
