"""`docs/reference/cli.md`, made from the parser that the command line uses.

`python -m tests.docs.cli_reference` writes it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from temper.cli.arguments import build
from tests.house.tree import ROOT

PAGE = ROOT / "docs" / "reference" / "cli.md"

HEAD = """\
# The command line

<!-- Made from src/temper/cli/arguments.py by `python -m tests.docs.cli_reference`; a test compares. -->

```
temper verify apps/helix
```

Every command has `--help`, and `--json` for scripts and agents: data with stable keys instead of text.
Options may stand between words.
What a command was asked for goes to standard output, and what it complains of to standard error.
Colour is for terminals; `NO_COLOR=1` turns it off and `FORCE_COLOR=1` on.

| exit code | means |
|---|---|
| 0 | fine |
| 1 | the blueprint is broken, or the action was refused |
| 2 | bad input or usage |
| 3 | something that was asked for is unknown or not checked |
| 4 | the server can't be reached |
| 70 | `temper` itself has a defect |

| variable | means |
|---|---|
| `TEMPER_SERVER` | where the server is, for every command that asks one |
| `TEMPER_CA_FILE` | the authorities that vouch for the server, as a file in PEM form (default: the well-known ones) |
| `TEMPER_CERT_FILE` | the certificate to show the server, in PEM form; where the server knows it, no token is needed |
| `TEMPER_KEY_FILE` | the certificate's private key (default: it is in the same file) |
| `TEMPER_TOKEN` | the token to ask with |

Where neither `--server` nor `TEMPER_SERVER` names the server, and a `temper.toml` lies in the folder, \
its `server.host` and `server.port` say where it is (by `https` with a `server.tls_cert`); \
nothing else in it is looked at.
A host that is no address of this machine is refused there, since the token would be sent to it: \
name such a server with `--server`.

`eval "$(temper completion bash)"` completes commands and options.
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *_commands()])


def _commands() -> Iterator[str]:
    for name, command in _subcommands(build()).items():
        verbs = _subcommands(command)
        yield f"## `temper {name}`\n"
        yield f"{command.description}\n"
        if verbs:
            for verb, below in verbs.items():
                yield f"### `temper {name} {verb}`\n"
                yield from _one(below)
        else:
            yield from _one(command)


def _one(command: argparse.ArgumentParser) -> Iterator[str]:
    words = [each for each in command._actions if not each.option_strings]
    options = [each for each in command._actions if each.option_strings and each.dest != "help"]
    usage = " ".join([command.prog, *(_word(each) for each in words), "[OPTIONS]"])
    yield f"```\n{usage}\n```\n"
    yield "| argument | means |\n|---|---|"
    for each in words:
        yield f"| `{each.metavar or each.dest}` | {_help(command, each)} |"
    for each in options:
        value = "" if each.nargs == 0 else f" {each.metavar or each.dest.upper()}"
        yield f"| `{', '.join(each.option_strings)}{value}` | {_help(command, each)} |"
    yield ""


def _word(action: argparse.Action) -> str:
    name = str(action.metavar or ("|".join(action.choices) if action.choices else action.dest))
    match action.nargs:
        case "*":
            return f"[{name} ...]"
        case "+":
            return f"{name} [{name} ...]"
        case "?":
            return f"[{name}]"
        case _:
            return name


def _help(command: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = command._get_formatter()._expand_help(action)
    choices = f": {', '.join(action.choices)}" if action.choices else ""
    return f"{text}{choices}".replace("|", "\\|")


def _subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
