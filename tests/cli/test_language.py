"""Commands about the text: guide, new, check, fmt, explain, completion."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from temper.cli.arguments import build
from tests.cli.run import keys, same, temper

BROKEN = """\
blueprint lease

role worker

entity Lease
  states Free, Held
  action Open by worker from new to Free
  action Take by worker from Fre to Held
  action Drop by worker from Held to Free
"""
UNTIDY = BROKEN.replace("Fre to", "Free  to")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a bundle that passes, one that is broken and one that is untidy."""
    assert temper("new", "gate", folder=tmp_path).code == 0
    (tmp_path / "broken.blueprint").write_text(BROKEN)
    (tmp_path / "untidy.blueprint").write_text(UNTIDY)
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("--version", 0, "temper 0."),
        ("-V", 0, "temper 0."),
        ("", 0, "usage: temper"),
        ("--help", 0, "exit codes: 0 fine"),
        ("check --help", 0, "--fix"),
        ("guide", 0, "# Writing a blueprint"),
        ("check gate", 0, "fine"),
        ("check gate gate/gate.blueprint", 0, "fine"),
        ("fmt --check gate", 0, ""),
        ("explain B101", 0, "# B101: unknown state"),
        ("explain b101", 0, "# B101: unknown state"),
        ("verify gate", 0, "passed"),
        ("completion bash", 0, "complete"),
        # Broken.
        ("check broken.blueprint", 1, "did you mean `Free`?"),
        ("check gate broken.blueprint", 1, "did you mean `Free`?"),
        ("verify broken.blueprint", 1, "it does not compile"),
        ("fmt --check untidy.blueprint", 1, "would change untidy.blueprint"),
        # Bad input.
        ("new Gate", 2, "is no name for a blueprint"),
        ("new gate", 2, "is there already"),
        ("check nowhere", 2, "there is no file or folder `nowhere`"),
        ("check empty", 2, "holds no `*.blueprint` file"),
        ("fmt --from-json gate", 2, "the JSON form is of one file"),
        ("explain B999", 2, "there is no code `B999`"),
        ("verify gate --levels algebra,magic", 2, "there is no level `magic`"),
        ("verify gate --states 0", 2, "0 is below 1"),
        ("check", 2, "required: PATH"),
        ("frobnicate", 2, "there is no command `frobnicate`"),
        ("pus", 2, "did you mean `push`? `temper --help` lists them"),
        ("check --frobnicate gate", 2, "unrecognized arguments: --frobnicate"),
    ],
)  # fmt: skip
def test_a_command_ends(folder: Path, words: str, code: int, says: str) -> None:
    """One row, one command: its exit code, and something that it says."""
    ran = temper(*words.split(), folder=folder)
    assert ran.code == code, ran
    assert says in (ran.out if code < 2 else ran.err), ran
    assert not (ran.out if code == 2 else ran.err), "a result is printed to one stream, a complaint to the other"


@pytest.mark.parametrize("bounds", ["--states 1", "--levels scenarios"])
def test_what_is_unknown_or_not_checked_has_an_exit_code_of_its_own(folder: Path, bounds: str) -> None:
    """A search that is cut off, or a level that is left out, has broken nothing and proved nothing."""
    ran = temper("verify", "gate", *bounds.split(), folder=folder)
    assert ran.code == 3, ran


# What these hold has names that the blueprint gives.
THEIRS = frozenset({"changed", "params", "event"})
FINDINGS = """
    findings[
      code, docs, fix, help, label, message, place(column, end_column, end_line, file, line, text), rendered, severity
    ]
"""


REPORT = """
    blueprint, digest, findings,
    levels[covered, looked_up, name, not_covered, seconds, states, transitions, units], passed,
    properties[
      by, entity, help, name, site,
      trace[
        action, after, before, changed, entity, event, id, name, params, part, place(column, file, line), site,
        text, who
      ],
      verdict, why
    ],
    scenarios[passed, problem, site, title], stopped, strength
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("guide", "guide"),
        ("new other", "written"),
        ("check gate", "errors, findings, fixed, passed"),
        ("check broken.blueprint", f"errors, {FINDINGS}, fixed, passed"),
        ("check nowhere", "error, help"),
        ("explain B101", "code, page"),
        ("verify gate", REPORT),
        ("verify broken.blueprint", f"digest, {FINDINGS}, levels, passed, properties, scenarios"),
        ("completion zsh", "script, shell"),
        ("frobnicate", "error, help"),
    ],
)  # fmt: skip
def test_json_has_stable_keys(folder: Path, words: str, expected: str) -> None:
    """Scripts and agents read these; a key is added, never renamed."""
    assert keys(temper(*words.split(), "--json", folder=folder).json, but=THEIRS) == same(expected)


def test_check_mends_what_it_knows_how_to(folder: Path) -> None:
    """Every fix that is offered is carried out, and the file is whole."""
    ran = temper("check", "broken.blueprint", "--fix", folder=folder)
    assert (ran.code, ran.out) == (0, "fine, 1 file mended\n")
    assert (folder / "broken.blueprint").read_text() == BROKEN.replace("Fre to", "Free to")


def test_fmt_lays_out_what_check_said_it_would(folder: Path) -> None:
    """Once; then there is nothing to do."""
    assert temper("fmt", "untidy.blueprint", folder=folder).out == "laid out untidy.blueprint\n"
    assert temper("fmt", "untidy.blueprint", folder=folder).out == ""
    assert "from Free to Held" in (folder / "untidy.blueprint").read_text()


def test_fmt_turns_a_blueprint_into_json_and_back(folder: Path) -> None:
    """One to one, through a pipe too."""
    text = (folder / "gate" / "gate.blueprint").read_text()
    as_json = temper("fmt", "--json", "gate/gate.blueprint", folder=folder).out
    assert json.loads(as_json)["blueprint"] == "gate"
    assert temper("fmt", "--from-json", "-", given=as_json).out == text
    assert temper("fmt", "-", given=UNTIDY).out == temper("fmt", "-", given=UNTIDY.replace("Free  to", "Free to")).out


def test_fmt_leaves_what_it_cannot_read(folder: Path) -> None:
    """And says why, with the place."""
    path = folder / "broken.blueprint"
    path.write_text("blueprint lease\n\nentity Lease\n  states (\n")
    ran = temper("fmt", "broken.blueprint", folder=folder)
    assert ran.code == 1
    assert "broken.blueprint:4" in ran.err
    assert path.read_text() == "blueprint lease\n\nentity Lease\n  states (\n"


def test_a_new_blueprint_passes(tmp_path: Path) -> None:
    """Its folder is all that it takes to verify it and to serve it."""
    assert temper("new", "gate", folder=tmp_path).out.endswith("next: temper verify gate\n")
    assert sorted(path.name for path in (tmp_path / "gate").iterdir()) == ["gate.blueprint", "temper.toml"]
    report = temper("verify", "gate", "--json", folder=tmp_path).json
    assert report["passed"]
    assert report["scenarios"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_every_command(shell: str) -> None:
    """All commands are in the script, whatever the shell."""
    script = temper("completion", shell).out
    commands = next(action.choices for action in build()._actions if action.dest == "command")
    assert commands
    assert [name for name in commands if name not in script] == []


@pytest.mark.parametrize("shell", [each for each in ("bash", "zsh", "tcsh") if shutil.which(each)])
def test_completion_is_a_script(shell: str, tmp_path: Path) -> None:
    """The shell itself reads it without a complaint, where it is installed."""
    script = tmp_path / "completion"
    script.write_text(temper("completion", shell).out)
    read = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True, check=False)
    assert (read.returncode, read.stderr) == (0, "")


def test_bash_completes(tmp_path: Path) -> None:
    """What the script makes of `temper ver<TAB>`."""
    script = tmp_path / "completion"
    script.write_text(temper("completion", "bash").out)
    asks = f"""
        source {script}
        COMP_WORDS=(temper ver) COMP_CWORD=1 COMP_LINE="temper ver" COMP_POINT=10 COMP_TYPE=9
        $(complete -p temper | sed 's/.*-F \\([^ ]*\\).*/\\1/') temper ver temper
        echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", asks], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["verify", "versions"]
