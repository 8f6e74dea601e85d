"""`python -m temper`: the command line, for whoever has the interpreter and not its scripts on the path."""

from __future__ import annotations

from temper.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
