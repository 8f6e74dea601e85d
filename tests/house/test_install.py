"""What a stranger's `./run` relies on."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from urllib.parse import urlsplit

from temper import __version__
from tests.house.tree import ROOT


def test_the_lock_knows_no_registry_but_the_public_one() -> None:
    """Whoever locks behind a mirror would otherwise send everybody there."""
    urls = re.findall(r"\"(\w+://[^\"]+)\"", (ROOT / "uv.lock").read_text())
    assert {urlsplit(url).netloc for url in urls} == {"pypi.org", "files.pythonhosted.org"}


def test_the_version_is_said_once() -> None:
    """The installed distribution has it from `temper.__version__`."""
    assert version("temper-blueprint") == __version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" not in project
    assert "version" in project["dynamic"]
