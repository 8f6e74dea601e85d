"""Commands about the text: guide, new, check, fmt, explain, completion."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path

from temper.cli.bundles import file_of, read, shown
from temper.cli.exits import Exit, Stop
from temper.cli.paint import Paint, coloured
from temper.service import (
    check_texts,
    explain_code,
    finding,
    fixed,
    format_text,
    guide_text,
    known_codes,
    text_from_json,
    text_to_json,
    wire,
)

NAME = re.compile(r"[a-z][a-z0-9_]*")


def guide(args: argparse.Namespace) -> int:
    """Print the language's short form."""
    text = guide_text()
    print(json.dumps({"guide": text}, ensure_ascii=False) if args.json else text, end="\n" if args.json else "")
    return Exit.FINE


def new(args: argparse.Namespace) -> int:
    """Write a first blueprint, which passes the verifier, and the settings for it."""
    if not NAME.fullmatch(args.name):
        raise Stop(Exit.USAGE, f"`{args.name}` is no name for a blueprint", help="lower_snake, such as `rollouts`")
    folder = Path(args.folder or args.name)
    written = []
    for name, text in _begun(args.name, args.wasm):
        path = folder / name
        if path.exists():
            raise Stop(Exit.USAGE, f"`{path}` is there already", help="name another folder with --folder")
        written.append((path, text))
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in written:
        path.write_text(text, "utf-8")
    paths = [str(path) for path, _ in written]
    if args.json:
        print(json.dumps({"written": paths}))
    else:
        print("\n".join(f"wrote {path}" for path in paths))
        build = _BUILDS.get(args.wasm, "")
        print(f"next: {f'cd {folder} && {build} && temper verify .' if build else f'temper verify {folder}'}")
    return Exit.FINE


_MODULES = {"wat": ("finished.wat",), "assemblyscript": ("finished.ts", "package.json"), "c": ("finished.c",)}
_BUILDS = {
    "assemblyscript": "npm install && npm run build",
    "c": "python -m ziglang cc -target wasm32-freestanding -O2 -nostdlib -Wl,--no-entry -o finished.wasm finished.c",
}


def _begun(blueprint: str, module: str | None) -> Iterator[tuple[str, str]]:
    """Yield the files that a blueprint is begun with, and what stands in them."""
    here = resources.files("temper.cli").joinpath("new")
    text = here.joinpath("wasm.blueprint" if module else "first.blueprint").read_text("utf-8")
    if module == "wat":
        text = text.replace("finished.wasm", "finished.wat")
    yield f"{blueprint}.blueprint", text.replace("first", blueprint)
    yield "temper.toml", here.joinpath("temper.toml").read_text("utf-8").replace("first", blueprint)
    for name in _MODULES.get(module or "", ()):
        yield name, here.joinpath(module or "", name).read_text("utf-8")


def check(args: argparse.Namespace) -> int:
    """Read bundles and tell every problem in them."""
    findings: list[wire.Finding] = []
    fixes = 0
    for path in bundle_paths(args.paths):
        files = read(path)
        if args.fix:
            mended = fixed(files)
            for name, text in mended.items():
                if text != files[name]:
                    fixes += 1
                    file_of(path, name).write_text(text, "utf-8")
            files = mended
        checked = check_texts({shown(path, name): text for name, text in files.items()})
        findings += [
            finding(each, checked.sources, colour=not args.json and coloured(sys.stdout)) for each in checked.problems
        ]
    errors = sum(each.severity == "error" for each in findings)
    if args.json:
        listed = [wire.as_json(each) for each in findings]
        print(json.dumps({"passed": errors == 0, "errors": errors, "findings": listed, "fixed": fixes}, indent=2))
    else:
        for each in findings:
            print(each.rendered)
        paint = Paint(colour=coloured(sys.stdout))
        warned = len(findings) - errors
        mended_note = f", {_count(fixes, 'file')} mended" if fixes else ""
        if errors:
            codes = sorted({each.code for each in findings if each.severity == "error"})
            print(
                f"{paint(_count(errors, 'error'), 'red', 'bold')}{mended_note}; `temper explain {codes[0]}` says more"
            )
        else:
            warned_note = f", {_count(warned, 'warning')}" if warned else ""
            print(f"{paint('fine', 'green')}{warned_note}{mended_note}")
    return Exit.BROKEN if errors else Exit.FINE


def fmt(args: argparse.Namespace) -> int:
    """Lay files out in place, or what comes in by standard input to standard output."""
    if args.paths == ["-"]:
        return _fmt_stream(args, sys.stdin.read())
    if args.from_json or args.json:
        if len(args.paths) != 1 or not Path(args.paths[0]).is_file():
            raise Stop(Exit.USAGE, "the JSON form is of one file", help="name one file, or `-` for standard input")
        return _fmt_stream(args, _read_text(Path(args.paths[0])), name=args.paths[0])
    changed = []
    for path in blueprint_files(args.paths):
        text = _read_text(path)
        laid = format_text(str(path), text)
        if isinstance(laid, tuple):
            raise _unreadable(laid)
        if laid != text:
            changed.append(str(path))
            if not args.check:
                path.write_text(laid, "utf-8")
    for each in changed:
        print(f"{'would change' if args.check else 'laid out'} {each}")
    return Exit.BROKEN if args.check and changed else Exit.FINE


def _fmt_stream(args: argparse.Namespace, text: str, *, name: str = "<stdin>") -> int:
    if args.from_json:
        result = text_from_json(text)
    elif args.json:
        result = text_to_json(name, text)
    else:
        result = format_text(name, text)
    if isinstance(result, tuple):
        raise _unreadable(result)
    print(result, end="" if result.endswith("\n") else "\n")
    return Exit.BROKEN if args.check and result != text else Exit.FINE


def _unreadable(findings: tuple[wire.Finding, ...]) -> Stop:
    for each in findings:
        print(each.rendered, file=sys.stderr)
    return Stop(
        Exit.BROKEN,
        "it can't be read, and was left as it is",
        data={"passed": False, "findings": [wire.as_json(each) for each in findings]},
    )


def explain(args: argparse.Namespace) -> int:
    """Print the page of a diagnostic's code."""
    code = args.code.upper()
    page = explain_code(code)
    if page is None:
        near = ", ".join(each for each in known_codes() if each[:2] == code[:2])
        raise Stop(Exit.USAGE, f"there is no code `{args.code}`", help=f"there are {near or ', '.join(known_codes())}")
    print(json.dumps({"code": code, "page": page}) if args.json else page, end="" if not args.json else "\n")
    return Exit.FINE


def completion(args: argparse.Namespace) -> int:
    """Print a script that completes our commands and options."""
    import shtab

    from temper.cli.arguments import build

    script = shtab.complete(build(), args.shell)
    print(json.dumps({"shell": args.shell, "script": script}) if args.json else script)
    return Exit.FINE


# --- paths, for the other commands too ---


def bundle_paths(paths: Iterable[str]) -> list[Path]:
    """Return the paths of bundles, each as the shell named it."""
    return [Path(path) for path in paths]


def blueprint_files(paths: Iterable[str]) -> list[Path]:
    """Return the blueprint files that the paths name; of a folder, those of its bundle."""
    found: list[Path] = []
    for each in paths:
        path = Path(each)
        found += [path] if path.is_file() else [path / name for name in read(path) if name.endswith(".blueprint")]
    return found


def _read_text(path: Path) -> str:
    return next(iter(read(path).values()))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
