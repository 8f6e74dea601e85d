"""`temper new --wasm`: each template is built by its own toolchain, and runs.

Where a toolchain is not installed its template is not tried. `.ci/wasm` installs them, and says where in the
environment: TEMPER_ZIG is a Python that has `ziglang`, TEMPER_NPM the folder of a cache for npm, and
TEMPER_COMPONENTIZE a Python's folder of programs with `componentize-py`, and TEMPER_COMPONENTIZE_JS a folder into which
npm has installed `componentize-js`. So are the components of the how-to page.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from temper.cli import main
from temper.runtime import Answered, Call, Modules
from temper.service import check_texts, read_bundle
from tests.house.tree import ROOT

ZIG, NPM = os.environ.get("TEMPER_ZIG", ""), os.environ.get("TEMPER_NPM", "")


def build(language: str, folder: Path) -> None:
    """Build the module as its source says."""
    if language == "assemblyscript":
        npm = ["npm", "--no-audit", "--no-fund", "--cache", NPM]
        subprocess.run([*npm, "install"], cwd=folder, check=True, capture_output=True, timeout=300)
        subprocess.run([*npm, "run", "build"], cwd=folder, check=True, capture_output=True, timeout=300)
    elif language == "c":
        command = re.search(r"^//   python (-m ziglang cc .*)$", (folder / "finished.c").read_text(), re.MULTILINE)
        assert command is not None, "the source says how it is built"
        subprocess.run([ZIG, *command[1].split()], cwd=folder, check=True, capture_output=True, timeout=300)


TOOLCHAINS = {
    "wat": (True, ""),
    "c": (bool(ZIG), "TEMPER_ZIG names no Python with ziglang"),
    "assemblyscript": (bool(NPM and shutil.which("npm")), "TEMPER_NPM names no folder for npm"),
}


@pytest.mark.parametrize("language", TOOLCHAINS)
async def test_a_template_is_built_and_runs(language: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there, why = TOOLCHAINS[language]
    if not there:
        pytest.skip(why)
    folder = tmp_path / "essays"
    assert main(["new", "essays", "--wasm", language, "--folder", str(folder)]) == 0
    assert f"wrote {folder / 'essays.blueprint'}" in capsys.readouterr().out
    build(language, folder)
    await runs(folder)


async def runs(folder: Path) -> None:
    """Push nothing, and call the tool of the bundle as a server would."""
    checked = check_texts(read_bundle(folder))
    assert [problem.message for problem in checked.problems] == []
    table = checked.table
    assert table is not None
    assert table.blueprint == "essays"
    modules = Modules()
    try:
        adapter = modules.adapter(table, "text.finished")
        assert adapter is not None
        for text, finished in (
            ("", True),
            ("An end, at last: ü.", True),
            ("OPEN", False),
            ("how it is OPEN: " + "x" * 300_000, False),
            ("y" * 300_000 + " OPE N", True),
        ):
            call = Call("k3v9c1x8m2ab", "text.finished", {"text": text}, 1, 60_000)
            assert await adapter.call(call) == Answered({"finished": finished})
    finally:
        modules.close()


PAGE = (ROOT / "docs" / "how-to" / "wasm.md").read_text()
COMPONENTIZE = os.environ.get("TEMPER_COMPONENTIZE", "")
COMPONENTIZE_JS = os.environ.get("TEMPER_COMPONENTIZE_JS", "")


def of_page(pattern: str) -> str:
    found = re.search(pattern, PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None, "the page says so"
    return found[1]


def python_component(work: Path) -> None:
    (work / "finished.py").write_text(of_page(r"```python\n(.*?)```"))
    command = [f"{COMPONENTIZE}/componentize-py", *of_page(r"^componentize-py ([^\n]*)$").split()]
    subprocess.run(command, cwd=work, check=True, capture_output=True, timeout=300)


def javascript_component(work: Path) -> None:
    (work / "node_modules").symlink_to(Path(COMPONENTIZE_JS) / "node_modules")
    wanted = of_page(r"^npm install @bytecodealliance/componentize-js@(\S+)$")
    package = work / "node_modules" / "@bytecodealliance" / "componentize-js" / "package.json"
    assert json.loads(package.read_text())["version"] == wanted, "the page and .ci/wasm pin the same"
    (work / "build.mjs").write_text(of_page(r"```js\n(.*?)```"))
    subprocess.run(["node", "build.mjs"], cwd=work, check=True, capture_output=True, timeout=300)


COMPONENTS = {
    "python": (python_component, bool(COMPONENTIZE), "TEMPER_COMPONENTIZE names no folder with componentize-py"),
    "javascript": (
        javascript_component, bool(COMPONENTIZE_JS), "TEMPER_COMPONENTIZE_JS names no folder with componentize-js",
    ),
}  # fmt: skip


@pytest.mark.parametrize("language", COMPONENTS)
async def test_the_component_of_the_page_is_built_and_runs(language: str, tmp_path: Path) -> None:
    """The world of the reference, the source of the how-to page, and the command that it gives."""
    build_component, there, why = COMPONENTS[language]
    if not there:
        pytest.skip(why)
    world = re.search(r"```wit\n(.*?)```", (ROOT / "docs" / "reference" / "wasm.md").read_text(), re.DOTALL)
    assert world is not None
    (tmp_path / "tool.wit").write_text(world[1])
    folder = tmp_path / "essays"
    assert main(["new", "essays", "--wasm", "wat", "--folder", str(folder)]) == 0
    build_component(tmp_path)
    (tmp_path / "finished.wasm").rename(folder / "finished.wasm")
    (folder / "finished.wat").unlink()
    blueprint = folder / "essays.blueprint"
    blueprint.write_text(blueprint.read_text().replace("finished.wat", "finished.wasm"))
    await runs(folder)


@pytest.mark.parametrize("language", ["assemblyscript", "c"])
def test_what_is_not_built_yet_is_told(language: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "essays"
    assert main(["new", "essays", "--wasm", language, "--folder", str(folder)]) == 0
    wrote = capsys.readouterr().out
    assert "next: cd " in wrote
    assert main(["check", str(folder)]) == 1
    assert "B801" in capsys.readouterr().out


def test_the_first_blueprint_with_a_module_passes_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "essays", "--wasm", "wat", "--folder", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith(f"next: temper verify {tmp_path}\n")
    assert main(["check", str(tmp_path)]) == 0
    assert main(["check", str(tmp_path / "essays.blueprint")]) == 0
    assert main(["fmt", "--check", str(tmp_path)]) == 0
