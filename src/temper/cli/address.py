"""Where the server is: what the options, the environment or this folder's settings say, else the default."""

from __future__ import annotations

import argparse
import ipaddress
import os
import socket
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from temper.cli.arguments import SERVER
from temper.cli.exits import Exit, Stop

FILE = "temper.toml"
"""The settings of a folder, which `temper serve` reads too."""
_LOCALHOST = "localhost"
_DEFAULT = urlsplit(SERVER)


def server_of(args: argparse.Namespace) -> str:
    """Return the server's address."""
    return args.server or os.environ.get("TEMPER_SERVER") or _of_folder(Path(FILE)) or SERVER


def _of_folder(path: Path) -> str | None:
    """Return the address that a server of this folder listens on; nothing else in the file is looked at."""
    if not path.is_file():
        return None
    import tomllib  # Where there is no such file, a command starts without it.

    try:
        server: Any = tomllib.loads(path.read_text("utf-8")).get("server", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        _stop(f"`{path}` does not say where the server is: {error}")
    if not isinstance(server, dict) or not server.keys() & {"host", "port", "tls_cert"}:
        return None
    host, port = server.get("host", _DEFAULT.hostname), server.get("port", _DEFAULT.port)
    if not isinstance(host, str) or not isinstance(port, int) or not 0 <= port <= 65_535:
        _stop(f"`{path}` does not say where the server is: `server.host` and `server.port` are no address")
    if port == 0:  # The system has chosen, and the server alone knows.
        return None
    scheme = "https" if server.get("tls_cert") else "http"
    return f"{scheme}://{_reached(path, host)}:{port}"


def _reached(path: Path, host: str) -> str:
    """Return the host as this machine reaches it.

    It has to be this machine: a folder that came from elsewhere would else have the caller's token sent where it likes.
    A name is no address: who answers for it may change between the look and the request.
    """
    if host == _LOCALHOST:
        return host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        _not_here(path, host)
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    if not address.is_loopback:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as own:
                own.bind((host, 0))
        except OSError:
            _not_here(path, host)
    return host if address.version == 4 else f"[{host}]"


def _not_here(path: Path, host: str) -> NoReturn:
    _stop(f"`{host}`, which `{path}` names as the server's host, is no address of this machine")


def _stop(text: str) -> NoReturn:
    raise Stop(Exit.USAGE, text, help="name the server with --server, or in TEMPER_SERVER")
