"""Which settings file, and what the options put in its place."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import msgspec

from temper.cli.address import FILE
from temper.cli.exits import Exit, Stop
from temper.service import Loaded, load_settings


def settings(args: argparse.Namespace) -> Loaded:
    """Return the settings that the options name, or this folder's `temper.toml`. Stops on a problem in them."""
    path = Path(args.settings) if args.settings else Path(FILE)
    loaded = load_settings(path if args.settings or path.exists() else None, os.environ)
    if loaded.problems:
        listed = "\n".join(f"  {problem}" for problem in loaded.problems)
        raise Stop(
            Exit.USAGE,
            f"the settings in `{path}` do not fit\n{listed}",
            data={"error": "bad settings", "problems": [str(problem) for problem in loaded.problems]},
        )
    section = loaded.settings.server
    if getattr(args, "host", None):
        section = msgspec.structs.replace(section, host=args.host)
    if getattr(args, "port", None) is not None:
        section = msgspec.structs.replace(section, port=args.port)
    if getattr(args, "store", None) is not None:
        section = msgspec.structs.replace(section, store=args.store)
    if getattr(args, "url", None):
        section = msgspec.structs.replace(section, url=args.url.rstrip("/"))
    if args.data:
        section = msgspec.structs.replace(section, data=str(Path(args.data).resolve()))
    return replace(loaded, settings=msgspec.structs.replace(loaded.settings, server=section))
