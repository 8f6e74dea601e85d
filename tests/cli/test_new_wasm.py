"""`temper new --wasm`: each template is built by its own toolchain, and runs.

Where a toolchain is not installed its template is not tried. `.ci/wasm` installs them, and says where in the
environment: TEMPER_ZIG is a Python that has `ziglang`, TEMPER_NPM the folder of a cache for npm.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from temper.cli import main
from temper.runtime import Answered, Call, Modules
from temper.service import check_texts, read_bundle

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
            call = Call("k3v9c1x8m2ab", "text.finished", {"text": text}, 1, 5_000)
            assert await adapter.call(call) == Answered({"finished": finished})
    finally:
        modules.close()


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
