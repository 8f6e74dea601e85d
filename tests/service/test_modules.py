"""Modules in a bundle: found, looked into, known by what is in them."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import wasmtime

from temper.runtime import pack, unpack
from temper.service import check_texts, read_bundle
from temper.table import digest
from tests.pages import DIAGNOSTICS, read_page
from tests.runtime.modules import address, place, says, wat

SHOP = """blueprint shop

role clerk

tool rules.judge(text: string) -> (ok: bool)
  from wasm "rules.{suffix}"

entity Order
  states Open

  action Place by clerk from new to Open
"""
GOOD = says('{"ok": {"ok": true}}')


def told(**files: str) -> list[tuple[str, str, str | None]]:
    """Return what is told of a bundle, whose module is `rules.wat` or `rules_wasm`."""
    suffix = "wasm" if "rules_wasm" in files else "wat"
    names = {"rules_wasm": "rules.wasm", "rules_wat": "rules.wat"}
    texts = {names[name]: text for name, text in files.items()}
    checked = check_texts({"shop.blueprint": SHOP.format(suffix=suffix), **texts})
    return [(one.code.name, one.message, one.help) for one in checked.errors]


@pytest.mark.parametrize("code", ["B801", "B802"])
def test_the_first_blueprint_of_a_page_earns_its_code_and_the_second_none(code: str) -> None:
    page = read_page(DIAGNOSTICS / f"{code}.md")
    earning, mended = page.blocks
    for block in (earning, mended):
        checked = check_texts({source.name: source.text for source in block.sources})
        assert block.mismatches(checked.problems) == []
    assert {one.code for one in earning.expected} == {code}
    assert mended.expected == ()


BINARY = bytes(wasmtime.wat2wasm(GOOD))


def test_a_module_travels_packed_or_in_base64_and_is_the_same() -> None:
    texts = [pack(BINARY), base64.b64encode(BINARY).decode()]
    tables = [check_texts({"shop.blueprint": SHOP.format(suffix="wasm"), "rules.wasm": text}).table for text in texts]
    assert [unpack("rules.wasm", text) for text in texts] == [BINARY, BINARY]
    assert tables[0] is not None
    assert tables[1] is not None
    assert digest(tables[0]) == digest(tables[1])


def test_another_module_is_another_bundle() -> None:
    """Content-addressed: the table, and with it the report that it was judged by, is of this module."""
    one, other = (
        check_texts({"shop.blueprint": SHOP.format(suffix="wat"), "rules.wat": text}).table
        for text in (GOOD, GOOD + "\n")
    )
    assert one is not None
    assert other is not None
    assert one.modules == {"rules.wat": address(GOOD)}
    assert digest(one) != digest(other)


@pytest.mark.parametrize(
    ("files", "message", "help"),
    [
        ({}, "`rules.wat` is not in the bundle", "put the file beside the blueprint"),
        ({"rules_wasm": "no base64"}, "it is not in base64", "push it with `temper push`"),
        ({"rules_wasm": "wasm:deflate:AAAA"}, "it can't be inflated", "push it with `temper push`"),
        ({"rules_wasm": pack(BINARY)[:-40]}, "it is cut off", "push it with `temper push`"),
        ({"rules_wasm": pack(b"")}, "it is not WebAssembly", "name the file that the compiler wrote"),
        ({"rules_wasm": pack(GOOD.encode())}, "it is not WebAssembly", "a text is a `.wat` file"),
        ({"rules_wasm": pack(BINARY[:-9])}, "it is not sound: unexpected end", "build it again"),
        ({"rules_wasm": pack(bytes(40_000_000))}, "it has more than 32,000,000 bytes", "leave out"),
        ({"rules_wat": "(module"}, "it is not sound: expected `)`", "build it again"),
        ({"rules_wat": "(module)"}, "it exports no `memory`", "export it"),
        ({"rules_wat": GOOD.replace('"temper_run"', '"temper_ran"')},
         "it does not export `temper_run`", "`temper_ran`"),
        ({"rules_wat": wat(place(0, 0)).replace("(param i32 i32) (result i64)", "(param i32) (result i64)")},
         "it exports `temper_run` as `(i32) -> i64`", "`temper_run(i32, i32) -> i64`"),
        ({"rules_wat": wat(place(0, 0), abi="(i32.const 9)")}, "it speaks ABI 9", "this release speaks 1"),
        ({"rules_wat": wat(place(0, 0), abi="(loop (br 0)) (unreachable)")}, "traps in `temper_abi`", "return 1"),
        ({"rules_wat": wat(place(0, 0), more="(func $f (unreachable)) (start $f)")}, "can't be made", "return 1"),
        ({"rules_wat": wat(place(0, 0), more='(import "temper" "lag" (func))')},
         "imports `temper.lag`", "`temper.log`"),
        ({"rules_wat": wat(place(0, 0), more='(import "temper" "log" (func))')},
         "imports `log` as `()`", "`log(i32, i32)`"),
        ({"rules_wat": wat(place(0, 0), more='(import "temper" "now" (memory $m 1))')}, "no function", "now() -> i64"),
        ({"rules_wat": wat(place(0, 0), more='(import "wasi_snapshot_preview1" "fd_write" (func))')},
         "imports `wasi_snapshot_preview1.fd_write`", "without WASI"),
        ({"rules_wat": wat(place(0, 0), more='(import "env" "sh" (func))')}, "imports `env.sh`", "and nothing else"),
        ({"rules_wat": "(component)"}, "it does not export `run: func(input: string) -> string`", "`temper:tool`"),
        ({"rules_wat": '(component (import "wasi:cli/environment@0.2.0" (instance)))'},
         "imports `wasi:cli", "without WASI"),
    ],
)  # fmt: skip
def test_a_module_that_can_not_carry_out_its_tool_is_told_of(files: dict[str, str], message: str, help: str) -> None:
    found = told(**files)
    assert len(found) == 1, found
    assert message in found[0][1]
    assert help in (found[0][2] or "")
    assert not found[0][1].endswith(".")


def test_a_folder_brings_the_modules_that_its_blueprints_name(tmp_path: Path) -> None:
    (tmp_path / "shop.blueprint").write_text(SHOP.format(suffix="wasm"))
    (tmp_path / "rules.wasm").write_bytes(BINARY)
    (tmp_path / "other.wasm").write_bytes(b"nobody names it")
    (tmp_path / "rules.wat").write_text("nor this one")
    for path in (tmp_path, tmp_path / "shop.blueprint"):
        assert read_bundle(path) == {"shop.blueprint": SHOP.format(suffix="wasm"), "rules.wasm": pack(BINARY)}
    assert check_texts(read_bundle(tmp_path)).problems == ()
