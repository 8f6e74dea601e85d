"""The story, act by act. It asks what anybody could ask, through the same door, and tells what comes back."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from temper.cli.client import Client
from temper.cli.demo import blueprints
from temper.cli.demo.screen import Brokers, Screen
from temper.cli.demo.stage import BROKERS, CLUSTER, Stage, stage
from temper.cli.exits import Exit, Stop
from temper.service import check_texts, verify_table

HELIX = "/v1/helix"
ROLLOUT = f"{HELIX}/Rollout"
ID = "r1"
BROKEN_ORDINAL = 2
COMPLAINT = "the log segment on its disk is of an unknown format"
LEVELS = ("algebra", "search", "scenarios")
STATES_MAX = 500_000
VERIFY_SECONDS = 60.0
# A move takes about a second; five of them and a crash are long over by then.
MOVES_SECONDS = 30.0
FRAME_SECONDS = 1 / 15


def tell(screen: Screen) -> dict[str, Any]:
    """Tell the whole story, and return what came of each act; `final_state` is the rollout's at the end."""
    found: dict[str, Any] = {"verdicts": {}}
    screen.title("temper demo", "a rollout halts, gets its way back while it hangs there, and takes it")
    with stage(blueprints.settings()) as set_up:
        _judge(screen, found)
        _plant(screen, found)
        play = _Play(screen, set_up, found)
        play.begin()
        play.roll()
        play.push_the_way_back()
        play.roll_back()
        play.tell_history()
    play.end()
    return found


def _judge(screen: Screen, found: dict[str, Any]) -> None:
    screen.heading("A blueprint is judged before it runs")
    screen.say("[bold]helix.blueprint[/] rolls a build out through a StatefulSet, one broker at a time.")
    screen.gap()
    with screen.waiting("judging"):
        report = _verified(blueprints.earlier())
    found["verdicts"]["earlier"] = _verdicts(report)
    screen.verdicts(report)
    screen.gap()
    screen.say(_covered(report))
    if not report["passed"]:
        raise Stop(Exit.BROKEN, "the demo's own blueprint did not pass", data={"report": report})
    screen.pause(1.2)


def _plant(screen: Screen, found: dict[str, Any]) -> None:
    slip = blueprints.forgotten_guard(blueprints.earlier())
    screen.heading("A slip of one line is caught before it runs")
    screen.diff(blueprints.FILE, slip.line, slip.old, slip.new)
    with screen.waiting("judging"):
        report = _verified(slip.files)
    found["verdicts"]["slip"] = _verdicts(report)
    story = next((each for each in report["properties"] if each["verdict"] == "broken" and each.get("trace")), None)
    if story is None:
        raise Stop(Exit.BROKEN, "the planted bug was not caught", data={"report": report})
    found["planted_bug"] = {
        "line": slip.line,
        "was": slip.old,
        "is": slip.new,
        "passed": report["passed"],
        "story": story,
    }
    screen.story(story)
    screen.pause(2.2)


def _verified(files: Mapping[str, str]) -> dict[str, Any]:
    checked = check_texts(files)
    assert checked.table is not None, "the demo's blueprints compile"
    return verify_table(checked.table, levels=LEVELS, states=STATES_MAX, seconds=VERIFY_SECONDS).report


def _verdicts(report: Mapping[str, Any]) -> dict[str, str]:
    return {each["name"]: each["verdict"] for each in report["properties"]}


def _covered(report: Mapping[str, Any]) -> str:
    seconds = sum(each["seconds"] for each in report["levels"])
    search = next((each for each in report["levels"] if each.get("states")), None)
    states = f"{search['states']:,} states and {search['transitions']:,} transitions searched, " if search else ""
    return f"[dim]{states}{seconds:.1f} s[/]"


@dataclass
class _Play:
    """The acts that need the stage."""

    screen: Screen
    set_up: Stage
    found: dict[str, Any]
    people: dict[str, Client] = field(default_factory=dict)
    admin: Client = field(init=False)

    def begin(self) -> None:
        """Put the earlier version in force, and make three people."""
        screen = self.screen
        screen.heading("What has passed is served")
        with screen.waiting("pushing"):
            self.set_up.open()
            self.admin = self.set_up.administrator()
            for name, role in (("bob", "builder"), ("ann", "operator"), ("cat", "release_manager")):
                self.people[name] = self.set_up.person(name, role)
            pushed = self.admin.put(HELIX, {"files": blueprints.earlier(), "note": "no way back yet"})
        screen.say(
            f"version {pushed['version']} is in force at [bold]{self.set_up.url}{HELIX}[/]"
            f" [dim]({pushed['digest'][:12]})[/]"
        )
        screen.say(
            "with tokens for [bold]bob[/], a builder, [bold]ann[/], an operator, and [bold]cat[/], a release manager"
        )
        screen.say(
            f"a twin of the Kubernetes API runs the StatefulSet [bold]{CLUSTER}[/]: {BROKERS} brokers of build v1"
        )
        screen.pause(1.2)

    def roll(self) -> None:
        """Roll v2 out until a broker does not bear it."""
        screen = self.screen
        self.set_up.cluster.break_build("v2", BROKEN_ORDINAL, COMPLAINT)
        screen.heading(f"Build v2 is rolled out, broker by broker; {CLUSTER}-{BROKEN_ORDINAL} will not bear it")
        plan = {"id": ID, "cluster": CLUSTER, "build": "v2", "previous": "v1", "brokers": BROKERS}
        self.people["bob"].post(ROLLOUT, plan)
        halted = self._until("Halted", "ann", "Start")
        self.found["halted_because"] = halted["fields"]["halted_because"]
        screen.gap()
        screen.now(self._now("now_when_halted"), "ann")
        screen.say("No way back was written, so there is none.")
        screen.pause(1.2)

    def push_the_way_back(self) -> None:
        """Push the version with a way back while the rollout hangs there."""
        screen = self.screen
        screen.heading("The way back is pushed while the rollout hangs there")
        screen.say("What [bold]temper plan[/] says that it changes:")
        bundle = {"files": blueprints.current()}
        with screen.waiting("judging it, and comparing it with the one in force and with what is alive"):
            plan = self.admin.post(f"{HELIX}/plan", bundle, patient=True)
        self.found["verdicts"]["current"] = _verdicts(plan["report"])
        self.found["plan"] = {key: plan[key] for key in ("changes", "stranded", "pushable")}
        screen.changes(plan["changes"])
        screen.gap()
        with screen.waiting("verifying, then swapping"):
            pushed = self.admin.put(HELIX, {**bundle, "note": "a way back"})
        entity = self.admin.get(f"{ROLLOUT}/{ID}")
        self.found["pushed"] = {"version": pushed["version"], "digest": pushed["digest"], "over": entity["state"]}
        screen.say(f"version {pushed['version']} is in force [dim]({pushed['digest'][:12]})[/]")
        moved = f"{entity['fields']['moved']} of {BROKERS}"
        screen.say(f"Rollout [bold]{ID}[/] is where it was: [bold red]{entity['state']}[/], {moved} moved")
        screen.now(self._now("now_after_push"), "ann")
        screen.pause(2.0)

    def roll_back(self) -> None:
        """Take the way back."""
        self.screen.heading("All go back")
        self._until("RolledBack", "ann", "RollBack")
        self.screen.pause(0.5)

    def tell_history(self) -> None:
        """Tell what happened, and note how it ended."""
        items = self.people["ann"].get(f"{ROLLOUT}/{ID}/history", {"limit": 200})["items"]
        entity = self.people["ann"].get(f"{ROLLOUT}/{ID}")
        self.found["final_state"] = entity["state"]
        self.found["brokers"] = {each.name: each.build for each in self.set_up.cluster.brokers()}
        self.found["history"] = items
        self.screen.heading("Who did what, and which version decided it")
        self.screen.history(items)
        self.screen.pause(0.5)

    def end(self) -> None:
        """Say what to do next."""
        builds = set(self.found["brokers"].values())
        state = self.found["final_state"]
        if state != "RolledBack" or builds != {"v1"}:
            raise Stop(
                Exit.BROKEN, f"it ended in {state}, with brokers of {', '.join(sorted(builds))}", data=self.found
            )
        self.screen.say("[bold green]Every broker runs v1 again.[/] Now yours:")
        self.screen.commands(
            [
                ("temper new mine", "a blueprint that passes, to change"),
                ("temper verify mine", "what holds, and the story of what does not"),
                ("temper serve mine --watch", "alive, and pushed again whenever you save"),
            ]
        )

    def _now(self, key: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.people["ann"].get(f"{ROLLOUT}/{ID}/actions")["items"]
        self.found[key] = sorted(each["action"] for each in items if each["status"] != "no")
        return items

    def _until(self, state: str, who: str, action: str) -> dict[str, Any]:
        """Take an action, and show what follows until the rollout is in `state`; return it as it is then."""
        heard = _Heard(self.people[who], f"{ROLLOUT}/{ID}/events")
        with self.screen.brokers() as picture:
            self.people[who].post(f"{ROLLOUT}/{ID}/{action}", {})
            give_up = time.monotonic() + MOVES_SECONDS
            while True:
                entity = self._show(picture, heard)
                # The last entries come a moment after the state that they made.
                if entity["state"] == state and heard.last == state:
                    break
                if time.monotonic() > give_up:
                    raise Stop(
                        Exit.BROKEN,
                        f"the rollout is {entity['state']} and not {state} after {MOVES_SECONDS:.0f} s",
                        data=entity,
                    )
                time.sleep(FRAME_SECONDS)
            picture.show(self.set_up.cluster.brokers(), entity, last=True)
        return entity

    def _show(self, picture: Brokers, heard: _Heard) -> dict[str, Any]:
        for entry in heard.all():
            self.screen.entry(entry)
        entity: dict[str, Any] = self.admin.get(f"{ROLLOUT}/{ID}")
        picture.show(self.set_up.cluster.brokers(), entity, last=False)
        return entity


class _Heard:
    """What a live stream says, collected while something else is looked at."""

    def __init__(self, client: Client, path: str) -> None:
        self._queue: queue.Queue[dict[str, Any]] = queue.Queue()
        self.last = ""
        """The state after the last entry that was taken out."""
        self._listening = threading.Event()
        # It ends with the server, or with us.
        threading.Thread(target=self._listen, args=(client, path), daemon=True).start()
        self._listening.wait(MOVES_SECONDS)

    def all(self) -> list[dict[str, Any]]:
        """Return what has come since the last time."""
        entries: list[dict[str, Any]] = []
        while not self._queue.empty():
            entries.append(self._queue.get_nowait())
        if entries:
            self.last = entries[-1]["after"]
        return entries

    def _listen(self, client: Client, path: str) -> None:
        try:
            for entry in client.stream(path, on_open=self._listening.set):
                self._queue.put(entry)
        except Stop:
            # The server has gone; whoever looks at the state will say so.
            self._listening.set()
