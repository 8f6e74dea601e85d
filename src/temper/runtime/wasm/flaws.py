"""What keeps a file from carrying out a tool: found when it is pushed, not when it is first called."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from temper.runtime.tools import Call
from temper.runtime.wasm.engine import Compiled, Unsound, compiled, ticking
from temper.runtime.wasm.grants import FUNCTIONS, Grant
from temper.runtime.wasm.package import MODULE_BYTES_MAX, NotPacked, digest_of, unpack
from temper.runtime.wasm.run import ABI, EXPORTS, IMPORTS, IMPORTS_FROM, Host, instance_of, sandbox
from temper.text import suggest

# For `temper_abi` alone, and whatever the module does when it starts.
_TRIAL = Grant(fuel=10_000_000, memory_bytes=1 << 30)
_TRIAL_TICKS = 200
_NO_FILES = "build it without WASI: `--stub-wasi` (componentize-py), `disableFeatures` (componentize-js), freestanding"


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with a module, and how to mend it."""

    text: str
    help: str


def flaw_of(name: str, text: str) -> Flaw | None:
    """Return what keeps a module's file (its text, as it travels) from carrying out a tool.

    Compiles it, and asks an instance for its ABI, so it takes its time: never on the loop.
    """
    try:
        content = unpack(name, text)
    except NotPacked as error:
        return Flaw(str(error), "push it with `temper push`, or give its bytes in base64")
    if len(content) > MODULE_BYTES_MAX:
        return Flaw(f"it has more than {MODULE_BYTES_MAX:,} bytes", "leave out what the tool does not need")
    if name.endswith(".wasm") and not content.startswith(b"\0asm"):
        return Flaw("it is not WebAssembly", "name the file that the compiler wrote; a text is a `.wat` file")
    try:
        code = compiled(digest_of(content), lambda: content)
    except Unsound as error:
        return Flaw(f"it is not sound: {error}", "build it again, for WebAssembly's core or a component")
    return _of_component(code) if code.component else _of_module(code)


def imports_of(code: Compiled) -> frozenset[str]:
    """Return which of the host's functions a module without a flaw imports."""
    if code.component:
        from temper.runtime.wasm.engine import engine

        return frozenset(code.code.type.imports(engine()))
    return frozenset(each.name for each in code.code.imports)


def _of_module(code: Compiled) -> Flaw | None:
    import wasmtime

    for each in code.code.imports:
        if each.module != IMPORTS_FROM or each.name not in IMPORTS:
            return _foreign(f"{each.module}.{each.name}", each.name if each.module == IMPORTS_FROM else "")
        if _signature(each.type) != IMPORTS[each.name]:
            return Flaw(f"it imports `{each.name}` as {_shown(each.type)}", _typed(each.name, IMPORTS[each.name]))
    exports = {each.name: each.type for each in code.code.exports}
    if not isinstance(exports.get("memory"), wasmtime.MemoryType):
        return Flaw("it exports no `memory`", 'export it: `(memory (export "memory") 1)`')
    for name, wanted in EXPORTS.items():
        if name not in exports:
            near = suggest(name, exports)
            return Flaw(f"it does not export `{name}`", f"rename `{near}`?" if near else _typed(name, wanted))
        if _signature(exports[name]) != wanted:
            return Flaw(f"it exports `{name}` as {_shown(exports[name])}", _typed(name, wanted))
    return _tried(code)


def _tried(code: Compiled) -> Flaw | None:
    import wasmtime

    nobody = Host(Call("", "", {}, 1, 1), lambda: 0, logs=1 << 30)
    try:
        with ticking():
            store = sandbox(_TRIAL, _TRIAL_TICKS, component=False)
            spoken = instance_of(store, code.code, nobody)["temper_abi"](store)
    except (wasmtime.Trap, wasmtime.WasmtimeError):
        return Flaw("an instance of it can't be made, or traps in `temper_abi`", f"let `temper_abi` return {ABI}")
    if spoken != ABI:
        return Flaw(f"it speaks ABI {spoken}", f"this release speaks {ABI}: build it for that")
    return None


def _of_component(code: Compiled) -> Flaw | None:
    from temper.runtime.wasm.engine import engine

    type_ = code.code.type
    for name, found in type_.imports(engine()).items():
        if name not in FUNCTIONS:
            return _foreign(name, name)
        if _component_signature(found) != _COMPONENT[name]:
            return Flaw(f"it imports another `{name}` than there is", _WORLD)
    run = type_.exports(engine()).get("run")
    if run is None or _component_signature(run) != _COMPONENT["run"]:
        return Flaw("it does not export `run: func(input: string) -> string`", _WORLD)
    return None


_WORLD = "build it for the world `temper:tool`"
_COMPONENT = {"log": (("String",), None), "now": ((), "U64"), "run": (("String",), "String")}


def _component_signature(extern: Any) -> tuple[tuple[str, ...], str | None] | None:
    from wasmtime import component

    type_ = getattr(extern, "ty", extern)  # Since wasmtime 50 an item of a component has a type; before, it was one.
    if not isinstance(type_, component.FuncType):
        return None
    result = type_.result
    return tuple(type(each).__name__ for _, each in type_.params), None if result is None else type(result).__name__


def _foreign(shown: str, name: str) -> Flaw:
    near = suggest(name, FUNCTIONS)
    if shown.startswith(("wasi", "wasi_snapshot")):
        help = _NO_FILES
    elif near:
        help = f"did you mean `{IMPORTS_FROM}.{near}`?"
    else:
        help = f"a module may import {_listed(f'{IMPORTS_FROM}.{each}' for each in FUNCTIONS)}, and nothing else"
    return Flaw(f"it imports `{shown}`, which nobody gives it", help)


def _signature(type_: Any) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    import wasmtime

    if not isinstance(type_, wasmtime.FuncType):
        return None
    return tuple(str(each) for each in type_.params), tuple(str(each) for each in type_.results)


def _shown(type_: Any) -> str:
    signature = _signature(type_)
    return "something that is no function" if signature is None else f"`{_written(signature)}`"


def _typed(name: str, wanted: tuple[tuple[str, ...], tuple[str, ...]]) -> str:
    return f"it is to be `{name}{_written(wanted)}`"


def _written(signature: tuple[Collection[str], Collection[str]]) -> str:
    params, results = signature
    return f"({', '.join(params)}){' -> ' if results else ''}{', '.join(results)}"


def _listed(names: Iterable[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)
