"""`docs/reference/tools.md`, made from the docstrings of the adapters and of what they share.

`python -m tests.docs.tools_reference` writes it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module

from tests.docs.settings_reference import sentences
from tests.house.tree import ROOT

PAGE = ROOT / "docs" / "reference" / "tools.md"

HEAD = """\
# Tools

<!-- Made from the docstrings of src/temper by `python -m tests.docs.tools_reference`; a test compares. -->

```toml
[tools."pager.page"]
adapter = "http"
method = "POST"
url = "https://hooks.example.com/{service}"
headers = { Authorization = "Bearer {secret:PAGER_TOKEN}" }
json = { text = "{text}" }
```

A blueprint says which tools it calls; `[tools."NAME"]` in `temper.toml` says how, by naming an `adapter` and what that one needs.
`[adapters.NAME]` holds what all tools of one adapter share.
A tool that nothing is bound to can be pushed, with a note that says so, and its calls fail as `not_bound`.
A setting that is not known is refused, and so is a template that names no parameter of its tool.

Secrets are named, never written out: see [`[secrets]`](settings.md#secrets).
"""  # noqa: E501 - a sentence is a line of the page

SECTIONS = (
    ("## What all tools have\n\n### Pace", "pace"),
    ("### Templates", "template"),
    ("### Paths", "path"),
    ("## The `http` adapter", "http"),
    ("### Egress", "egress"),
    ("## The `mcp` adapter", "mcp"),
    ("## The `process` adapter", "process"),
    ("## The `kubernetes` adapter", "kubernetes"),
    ("### Conditions", "condition"),
    ("## The `wasm` adapter", "wasm.grants"),
    ("## Adapters of other packages", "others"),
)


def page() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *_sections()])


def _sections() -> Iterator[str]:
    for title, module in SECTIONS:
        inside = module if module in ("egress", "wasm.grants") else f"tools.{module}"
        text = inspect.getdoc(import_module(f"temper.runtime.{inside}"))
        assert text, f"{module} says what it is"
        yield f"{title}\n\n{sentences(text)}\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
