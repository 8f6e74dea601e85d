"""The list of codes: one line a code, each with its page. `python tests/house/test_codes.py` writes it anew."""

from __future__ import annotations

from pathlib import Path

from temper.text import Code, Severity

FOLDER = Path(__file__).parents[2] / "docs" / "reference" / "diagnostics"
CHAPTERS = {
    "B0": "The text cannot be read",
    "B1": "Names",
    "B2": "Types",
    "B3": "Other rules of the language",
    "B4": "Algebra: found by looking at the table",
    "B5": "Search: found by running the table",
    "B6": "Scenarios",
    "B7": "Change",
    "B8": "Modules and policies: what travels with the blueprint",
}


def index() -> str:
    """Return the page that lists every code."""
    lines = [
        "# Diagnostics",
        "",
        "Every code has a page with a blueprint that earns it and the mended one; `temper explain CODE` prints it.",
        "A code keeps its meaning for ever.",
    ]
    codes = sorted(Code, key=lambda code: code.name)
    for prefix, chapter in CHAPTERS.items():
        ours = [code for code in codes if code.name.startswith(prefix)]
        if ours:
            lines += ["", f"## {chapter}", ""]
        for code in ours:
            warning = " (a warning)" if code.severity is Severity.WARNING else ""
            lines.append(f"* [{code.name}]({code.name}.md): {code.value}{warning}")
    return "\n".join(lines) + "\n"


def test_the_list_of_codes_is_whole() -> None:
    assert (FOLDER / "README.md").read_text("utf-8") == index()


def test_every_page_is_of_a_code_and_every_code_has_a_page() -> None:
    pages = {path.stem for path in FOLDER.glob("B*.md")}
    assert pages == {code.name for code in Code}


if __name__ == "__main__":
    (FOLDER / "README.md").write_text(index(), "utf-8")
