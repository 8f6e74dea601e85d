"""The story as it is seen: headings, the brokers as they move, what was said.

On a terminal it moves; elsewhere it is lines.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.align import Align
from rich.box import ROUNDED, SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from temper.cli.demo.stage import Broker
from temper.cli.paint import coloured

WIDTH_MAX = 100
FRAMES_PER_SECOND = 15

GOOD = ("proved", "holds within bounds", "tested", "passed")
BAD = ("broken", "failed")
CONDITIONS = {"ready": "green", "starting": "yellow", "ending": "dim"}
STATES = {"Halted": "bold red", "RolledBack": "bold green", "Live": "bold green"}


class Screen:
    """Where the story is told. `silent` tells nothing; `fast` leaves out the pauses that are there for reading."""

    def __init__(self, *, fast: bool, silent: bool) -> None:
        colour = coloured(sys.stdout)
        self._console = Console(
            quiet=silent, highlight=False, soft_wrap=False, no_color=not colour, force_terminal=None, emoji=False
        )
        if self._console.width > WIDTH_MAX or not self._console.is_terminal:
            self._console.width = WIDTH_MAX
        self._moves = self._console.is_terminal and not silent
        self._fast = fast or silent
        self._plain = self._console.options.ascii_only
        self._acts = 0

    def pause(self, seconds: float) -> None:
        """Give a reader time."""
        if not self._fast:
            time.sleep(seconds)

    def title(self, name: str, what: str) -> None:
        """Say what this is."""
        self._console.print()
        self._indented(Text.assemble((name, "bold"), "  ", (what, "dim")))

    def heading(self, title: str) -> None:
        """Begin the next act."""
        self._acts += 1
        self._console.print()
        self._console.print(Rule(f"[bold cyan]{self._acts}[/] [bold]{title}[/]", align="left", style="cyan"))

    def say(self, markup: str) -> None:
        """Say a sentence."""
        self._indented(Text.from_markup(markup))

    def gap(self) -> None:
        """Leave a line."""
        self._console.print()

    def _indented(self, what: RenderableType, by: int = 2) -> None:
        self._console.print(Padding(what, (0, 2, 0, by), expand=False))

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Show that something takes its time."""
        if not self._moves:
            yield
            return
        with self._console.status(f"[dim]{text}[/]", spinner="line" if self._plain else "dots"):
            yield

    # --- judgement ---

    def verdicts(self, report: Mapping[str, Any]) -> None:
        """Show what a report says, property by property."""
        table = Table.grid(padding=(0, 2))
        for each in report["properties"]:
            # What nobody wrote is asked too, and counted below; here is what its author cares for.
            if each["site"] is None:
                continue
            table.add_row(self._verdict(each["verdict"]), Text(each["name"]), Text(each["by"], "dim"))
        scenarios = report["scenarios"]
        passed = sum(each["passed"] for each in scenarios)
        if scenarios:
            verdict = "passed" if passed == len(scenarios) else "failed"
            table.add_row(self._verdict(verdict), Text(f"{passed} of {len(scenarios)} scenarios"), Text(""))
        self._indented(table)

    def _verdict(self, verdict: str) -> Text:
        mark, style = ("✓", "green") if verdict in GOOD else ("✗", "bold red") if verdict in BAD else ("–", "yellow")
        if self._plain:
            mark = {"✓": "+", "✗": "x"}.get(mark, "-")
        return Text(f"{mark} {verdict}", style)

    def diff(self, file: str, line: int, old: str, new: str) -> None:
        """Show one line of a file that was changed."""
        self._indented(Group(Text(f"{file}:{line}", "dim"), Text(f"- {old}", "red"), Text(f"+ {new}", "green")), 4)
        self.gap()

    def story(self, broken: Mapping[str, Any]) -> None:
        """Show the run that breaks a property, step by step."""
        title = Text.assemble(("broken", "bold red"), "  ", (broken["name"], "bold"))
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right", style="dim")
        table.add_column()
        table.add_column(style="dim")
        for number, step in enumerate(broken["trace"], 1):
            arrow = "->" if self._plain else "→"
            text = Text(step["text"])
            was_there = step["before"] != "new"
            came = [f"{step['before']} {arrow} {step['after']}"] if step["before"] != step["after"] else []
            for name, each in step["changed"].items() if was_there else ():
                came.append(f"{name} {_value(each['was'])} {arrow} {_value(each['is'])}")
            if came:
                text.append(f"\n{', '.join(came)}", "cyan")
            place = step.get("place")
            where = f"{place['file']}:{place['line']}" if place else ""
            table.add_row(str(number), text, where)
        parts: list[Any] = [title, Text(""), table]
        for note in (broken.get("why"), broken.get("help")):
            if note:
                parts += [Text(""), Text(note)]
        self._indented(Panel(Group(*parts), box=ROUNDED, border_style="red", padding=(0, 1)))

    # --- the rollout ---

    @contextmanager
    def brokers(self) -> Iterator[Brokers]:
        """Show the brokers while they move; what is told meanwhile stands above them."""
        if not self._moves:
            yield Brokers(self, None)
            return
        with Live(console=self._console, refresh_per_second=FRAMES_PER_SECOND, transient=False) as live:
            yield Brokers(self, live)

    def entry(self, entry: Mapping[str, Any]) -> None:
        """Say what was committed, as it comes."""
        self._indented(self._entry(entry))

    def _entry(self, entry: Mapping[str, Any]) -> Text:
        style = STATES.get(entry["after"], "") if entry["before"] != entry["after"] else ""
        text = entry["text"] if self._plain else entry["text"].replace("->", "→")
        return Text.assemble((entry["at"][11:23], "dim"), "  ", (text, style))

    def panel(self, brokers: Sequence[Broker], entity: Mapping[str, Any]) -> Panel:
        """Return the picture of the cluster, and of the entity that stands for its rollout."""
        row = Table.grid(expand=True)
        for _ in brokers:
            row.add_column(justify="center", ratio=1)
        row.add_row(*(self._broker(each) for each in brokers))
        state = entity["state"]
        fields = entity["fields"]
        below = Text.assemble(
            (f"{entity['entity']} {entity['id']}", "bold"),
            "  ",
            (state, STATES.get(state, "bold cyan")),
            ("  moved ", "dim"),
            f"{fields['moved']} of {fields['brokers']}",
        )
        return Panel(Group(row, Text(""), Align.center(below)), box=ROUNDED, border_style="cyan", padding=(1, 1, 0, 1))

    def _broker(self, broker: Broker) -> Text:
        style = CONDITIONS.get(broker.condition, "bold red")
        mark = {"ready": "●", "starting": "◐", "ending": "○"}.get(broker.condition, "✗")
        if self._plain:
            mark = {"●": "o", "◐": ".", "○": " "}.get(mark, "x")
        condition = broker.condition.replace("LoopBackOff", " loop")
        build = "bold magenta" if broker.build != "v1" else "bold"
        return Text.assemble(
            (f"{broker.name}\n", "dim"), (f"{mark} ", style), (f"{broker.build}\n", build), (condition, style)
        )

    def cluster(self, brokers: Sequence[Broker], entity: Mapping[str, Any]) -> None:
        """Show the cluster as it is."""
        self._console.print(self.panel(brokers, entity))

    # --- tables and texts ---

    def now(self, items: Sequence[Mapping[str, Any]], who: str) -> None:
        """Show what somebody can do now."""
        arrow = "->" if self._plain else "→"
        table = Table.grid(padding=(0, 1))
        for each in items:
            if each["status"] != "no":
                to = " or ".join(each.get("to", ()))
                table.add_row(Text(each["action"], "bold green"), Text(f"{arrow} {to}" if to else "", "cyan"))
        self.say(f"what [bold]{who}[/] can do now:")
        self._indented(table, 4)
        rest = ", ".join(each["action"] for each in items if each["status"] == "no")
        self._indented(Text(f"and not {rest}", "dim"), 4)

    def changes(self, changes: Iterable[Mapping[str, Any]]) -> None:
        """Show what a candidate changes, in words."""
        table = Table.grid(padding=(0, 1))
        signs = {"added": ("+", "green"), "removed": ("-", "red"), "note": ("!", "yellow")}
        for each in changes:
            sign, style = next((look for word, look in signs.items() if word in each["kind"]), ("~", "yellow"))
            strength = f" ({each['strength']})" if each.get("strength") else ""
            table.add_row(Text(sign, style), Text(each["text"] + strength))
        self._indented(table, 4)

    def history(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Show everything that happened, and which version decided it."""
        table = Table(box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False, header_style="dim")
        table.add_column("at")
        table.add_column("version", justify="center")
        table.add_column("what")
        for each in entries:
            version = each["table_version"]
            text = each["text"] if self._plain else each["text"].replace("->", "→")
            table.add_row(
                Text(each["at"][11:23], "dim"),
                Text(str(version), "bold magenta" if version != 1 else ""),
                Text(text, STATES.get(each["after"], "") if each["before"] != each["after"] else ""),
            )
        self._indented(table)

    def commands(self, rows: Iterable[tuple[str, str]]) -> None:
        """Show what to type next."""
        table = Table.grid(padding=(0, 3))
        for command, what in rows:
            table.add_row(Text(command, "bold"), Text(what, "dim"))
        self.gap()
        self._indented(table, 4)


class Brokers:
    """The picture of the cluster that moves, or that is drawn once at the end where nothing can move."""

    def __init__(self, screen: Screen, live: Live | None) -> None:
        self._screen = screen
        self._live = live

    def show(self, brokers: Sequence[Broker], entity: Mapping[str, Any], *, last: bool) -> None:
        """Show how it is now; `last` is the picture that stays."""
        if self._live is not None:
            self._live.update(self._screen.panel(brokers, entity), refresh=last)
        elif last:
            self._screen.cluster(brokers, entity)


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
