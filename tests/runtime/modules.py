"""Modules for tests: small ones in WAT, good and hostile, and what a table needs to call one."""

from __future__ import annotations

from temper.runtime import Call
from temper.runtime.wasm import digest_of

CALL = Call("order-1", "rules.judge", {"text": "schön", "amount": "1.50"}, 2, 5_000)


def wat(
    run: str, *, alloc: str = "(i32.const 1024)", abi: str = "(i32.const 1)", more: str = "", pages: str = "1"
) -> str:
    """Return a module whose three functions have these bodies."""
    return f"""(module
  {more if more.lstrip().startswith("(import") else ""}
  (memory (export "memory") {pages})
  {"" if more.lstrip().startswith("(import") else more}
  (func (export "temper_abi") (result i32) {abi})
  (func (export "temper_alloc") (param i32) (result i32) {alloc})
  (func (export "temper_run") (param i32 i32) (result i64) {run}))"""


def says(answer: str | bytes) -> str:
    """Return a module that answers so, whatever it is asked."""
    content = answer.encode() if isinstance(answer, str) else answer
    escaped = "".join(f"\\{byte:02x}" for byte in content)
    return wat(place(8192, len(content)), more=f'(data (i32.const 8192) "{escaped}")')


def place(at: int, length: int) -> str:
    """Return the code that answers with what lies there."""
    return f"(i64.or (i64.shl (i64.const {at}) (i64.const 32)) (i64.const {length}))"


def address(text: str) -> str:
    """Return the digest of a module in WAT."""
    return digest_of(text.encode())
