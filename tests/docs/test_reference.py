"""The reference pages say what the program does: they are made from it, and their examples are taken by it."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import certifi
import pytest

from temper.runtime import Declared, Vault, load_grants, load_tools
from temper.runtime.tools import ADAPTERS
from temper.service import load_settings, webhooks
from tests.docs import cli_reference, settings_reference, tools_reference

WEBHOOKS, IDENTITY, RETENTION = (
    settings_reference.page().split(heading)[1].split("\n## ")[0]
    for heading in ("## `[webhooks.NAME]`", "## `[identity]`", "## `[retention.NAME]`")
)
OTHERS = tools_reference.page().split("## Adapters of other packages")[1]
EXAMPLES = re.findall(
    r"^```toml\n(.*?)^```$",
    settings_reference.page().replace(WEBHOOKS, "").replace(IDENTITY, "").replace(RETENTION, "")
    + tools_reference.page().replace(OTHERS, ""),
    re.MULTILINE | re.DOTALL,
)
DECLARED = {
    "pager.page": Declared(("service", "text"), ("ticket",)),
    "tickets.open": Declared(("text",), ("ticket",)),
    "tickets.find": Declared(("text",), ("ticket",)),
    "report.render": Declared(("format", "title"), ("pages",)),
    "kubernetes.set_partition": Declared(("cluster", "partition"), ("ready",)),
}
SECRETS = dict.fromkeys(("PAGER_TOKEN", "PAGER_SIGNING_SECRET", "RENDER_TOKEN", "TICKETS_TOKEN"), "secret")
KUBECONFIG = {
    "current-context": "production",
    "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
    "users": [{"name": "u", "user": {"token": "t"}}],
    "contexts": [{"name": "production", "context": {"cluster": "c", "user": "u"}}],
}


@pytest.mark.parametrize("reference", [cli_reference, settings_reference, tools_reference])
def test_a_page_is_made_from_the_program(reference: object) -> None:
    """`python -m tests.docs.cli_reference`, `...settings_reference` and `...tools_reference` write them."""
    assert reference.PAGE.read_text("utf-8") == reference.page()  # type: ignore[attr-defined]  # both modules have them


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_is_taken(tmp_path: Path, number: int) -> None:
    """One row, one example of the page: as a file, with nothing wrong in it but that this machine is another one."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(KUBECONFIG))
    text = EXAMPLES[number].replace("~/.kube/config", str(kubeconfig)).replace("/etc/ssl/inside.pem", certifi.where())
    text = text.replace("/usr/local/bin/render", "/bin/cat").replace("/usr/local/bin/tickets-mcp", "/bin/cat")
    (tmp_path / "temper.toml").write_text(text)
    loaded = load_settings(tmp_path / "temper.toml", SECRETS)
    assert loaded.problems == ()
    tools = {"tools": loaded.settings.tools, "adapters": loaded.settings.adapters}
    declared = {name: declared for name, declared in DECLARED.items() if name in loaded.settings.tools}
    if "pager.page" in declared and "result" not in text:
        # The first examples are for a blueprint that reads nothing of the answer.
        declared = {"pager.page": Declared(("service", "text"))}
    adapters, problems = load_tools(tools, declared, loaded.vault)
    grants, more = load_grants(tools)
    assert (problems, more) == ([], [])
    assert sorted((*adapters, *grants.tools)) == sorted(loaded.settings.tools) != []


@pytest.mark.parametrize("adapter", list(ADAPTERS))
def test_every_setting_of_an_adapter_is_shown(adapter: str) -> None:
    """An adapter that is asked for what it does not know lists what it does; each of that is in its section."""
    _, problems = load_tools({"tools": {"a.b": {"adapter": adapter, "nonsense": 1}}}, {}, Vault({}))
    known = next(each.help for each in problems if "nonsense" in each.text)
    names = re.findall(r"`(\w+)`", known)
    assert "adapter" in names
    page = tools_reference.page()
    section = page.split("### Pace\n")[1].split("\n### ")[0]
    section += page.split(f"## The `{adapter}` adapter\n")[1].split("\n## ")[0]
    assert [name for name in names if not re.search(rf"\b{name} = ", section)] == []


@pytest.mark.parametrize("adapter", list(ADAPTERS))
def test_no_setting_is_shown_that_there_is_not(adapter: str) -> None:
    """Each key of an example of the section is one that its adapter takes."""
    section = tools_reference.page().split(f"## The `{adapter}` adapter\n")[1].split("\n## ")[0]
    (example,) = re.findall(r"^```toml\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    for bound in tomllib.loads(example)["tools"].values():
        _, problems = load_tools({"tools": {"a.b": bound | {"nonsense": 1}}}, {}, Vault(SECRETS))
        assert [each.text for each in problems if "unknown setting" in each.text] == ["unknown setting `nonsense`"]


def test_every_setting_of_modules_is_shown() -> None:
    _, problems = load_grants({"adapters": {"wasm": {"nonsense": 1}}})
    names = re.findall(r"`(\w+)`", problems[0].help)
    section = tools_reference.page().split("## The `wasm` adapter\n")[1]
    assert [name for name in names if not re.search(rf"^{name} = ", section, re.MULTILINE)] == []
    assert len(names) == 5


def test_what_modules_are_granted_by_default_is_what_the_page_shows() -> None:
    example = next(text for text in EXAMPLES if "[adapters.wasm]" in text)
    shown = {"adapters": tomllib.loads(example)["adapters"]}
    assert load_grants(shown) == load_grants({})


def test_every_example_is_toml() -> None:
    """Of the settings one at the top and one of secrets; of tools one at the top, one of pace, one for each adapter."""
    assert [sorted(tomllib.loads(text)) for text in EXAMPLES] == [
        ["server", "tools"],
        ["secrets", "tools"],
        ["tools"],
        ["tools"],
        ["tools"],
        ["adapters", "tools"],
        ["adapters", "tools"],
        ["adapters", "tools"],
        ["adapters", "tools"],
    ]


def test_the_example_of_a_webhook_is_taken(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```toml\n(.*?)^```$", WEBHOOKS, re.MULTILINE | re.DOTALL)
    (tmp_path / "temper.toml").write_text(example)
    loaded = load_settings(tmp_path / "temper.toml", {"PAYMENTS_SECRET": "secret"})
    assert loaded.problems == ()
    assert list(webhooks.problems(loaded.settings.webhooks, loaded.vault)) == []
    assert list(loaded.settings.webhooks) == ["payments"]
