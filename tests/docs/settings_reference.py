"""`docs/reference/settings.md`, made from the settings' own docstrings. The tools have a page of their own.

`python -m tests.docs.settings_reference` writes it.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from textwrap import dedent
from typing import Any

import msgspec

from temper.service import Settings, identity, retention, webhooks
from temper.service.settings import (
    CertificatesSection,
    IdentitySection,
    OidcSection,
    ProxySection,
    RetentionSection,
    SecretSection,
    WebhookSection,
)
from tests.house.tree import ROOT

PAGE = ROOT / "docs" / "reference" / "settings.md"

HEAD = """\
# Settings

<!-- Made from the docstrings of src/temper by `python -m tests.docs.settings_reference`; a test compares. -->

```toml
[server]
port = 8420
data = "temper-data"

[tools."pager.page"]
adapter = "http"
method = "POST"
url = "https://hooks.example.com/{service}"
headers = { Authorization = "Bearer {secret:PAGER_TOKEN}" }
json = { text = "{text}" }
```

`temper serve` reads `temper.toml` in the folder that it is started in, or the file that `--settings` names.
Everything has a default, so that the file may be missing.
A setting that is not known is refused, with the one that was probably meant, and nothing starts.
Durations are written as in a blueprint, such as `250ms`, `30s` or `5m`.
"""

TOOLS = """\
## `[tools."NAME"]` and `[adapters.NAME]`

How the tools that blueprints call are carried out has [a page of its own](tools.md).
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *_sections(), *_secrets(), *_webhooks(), *_identity(), *_retention(), TOOLS])


def _sections() -> Iterator[str]:
    for section in msgspec.structs.fields(Settings):
        if not isinstance(section.default, msgspec.Struct):
            continue
        kind = type(section.default)
        if kind is IdentitySection:
            continue
        meanings = _meanings(kind)
        yield f"## `[{section.name}]`\n\n{inspect.getdoc(kind)}\n"
        yield "| setting | default | means |\n|---|---|---|"
        for field in msgspec.structs.fields(kind):
            yield f"| `{field.name}` | `{_toml(field.default)}` | {meanings[field.name]} |"
        yield ""


def _secrets() -> Iterator[str]:
    yield from _named("secrets", SecretSection, sentences(inspect.getdoc(import_module("temper.runtime.vault")) or ""))


def _webhooks() -> Iterator[str]:
    yield from _named("webhooks.NAME", WebhookSection, sentences(inspect.getdoc(webhooks) or ""))


def _retention() -> Iterator[str]:
    yield from _named("retention.NAME", RetentionSection, sentences(inspect.getdoc(retention) or ""))


def _identity() -> Iterator[str]:
    yield f"## `[identity]`\n\n{sentences(inspect.getdoc(IdentitySection) or '')}\n"
    yield "| setting | default | means |\n|---|---|---|"
    kept = msgspec.structs.fields(IdentitySection)[0]
    yield f"| `{kept.name}` | `{_toml(kept.default)}` | {_meanings(IdentitySection)[kept.name]} |\n"
    yield sentences(inspect.getdoc(identity) or "") + "\n"
    yield from _named("identity.oidc.NAME", OidcSection, sentences(inspect.getdoc(OidcSection) or ""))
    yield from _named("identity.proxy", ProxySection, sentences(inspect.getdoc(ProxySection) or ""))
    yield from _named(
        "identity.certificates", CertificatesSection, sentences(inspect.getdoc(CertificatesSection) or "")
    )


def _named(heading: str, kind: type[msgspec.Struct], text: str) -> Iterator[str]:
    """The section of tables of which there may be any number, by their names."""
    meanings = _meanings(kind)
    yield f"## `[{heading}]`\n\n{text}\n"
    yield "| setting | default | means |\n|---|---|---|"
    for field in msgspec.structs.fields(kind):
        if field.default_factory is not msgspec.NODEFAULT:
            shown = "`{}`"
        else:
            shown = "" if field.default is msgspec.NODEFAULT else f"`{_toml(field.default)}`"
        yield f"| `{field.encode_name}` | {shown} | {meanings[field.name]} |"
    yield ""


def _meanings(kind: type) -> dict[str, str]:
    """The text below each field of a struct."""
    tree = ast.parse(dedent(inspect.getsource(kind))).body[0]
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            assert isinstance(field.target, ast.Name)
            # A row of a table is one line.
            found[field.target.id] = " ".join(str(below.value.value).split())
    return found


def _toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return f"{value:_}" if value > 9999 else str(value)
        case tuple():
            return f"[{', '.join(_toml(each) for each in value)}]"
        case str():
            return f'"{value}"'
        case _:
            return str(value)


def sentences(text: str) -> str:
    """The text with one sentence a line, as our pages are written; tables, lists and code as they are."""
    blocks = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(block if block.startswith("```") else _paragraphs(block) for block in blocks)


def _paragraphs(text: str) -> str:
    return "\n\n".join(
        block
        if block.lstrip().startswith(("|", "* "))
        else re.sub(r"(?<=[.:]) (?=[A-Z])", "\n", block.replace("\n", " "))
        if block.strip()
        else block
        for block in text.split("\n\n")
    )


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
