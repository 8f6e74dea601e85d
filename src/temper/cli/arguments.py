"""Every command and option: `--help`, the completion scripts and `docs/reference/cli.md` come from here."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import cast

SERVER = "http://127.0.0.1:8420"
JSON = "print data with stable keys instead of text"
EXITS = "exit codes: 0 fine, 1 broken or refused, 2 bad input or usage, 3 unknown or not checked, 4 no server"


def build(kind: type[argparse.ArgumentParser] = argparse.ArgumentParser, only: str = "") -> argparse.ArgumentParser:
    """Return the parser of the whole command line; of one command `only`, if there is such a one.

    To make those of all the others takes as long as a page of a blueprint takes to be read.
    """
    parser = kind(
        prog="temper",
        description="Blueprints of operational domains: judged before they run, durable while they run, changed alive.",
        epilog=EXITS,
    )
    parser.add_argument("-V", "--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=kind)

    def command(name: str, run: str, help: str, json: str = JSON) -> argparse.ArgumentParser:
        if only and name != only:
            return cast("argparse.ArgumentParser", _Unasked())
        made = commands.add_parser(name, help=help, description=_sentence(help))
        made.add_argument("--json", action="store_true", help=json)
        made.set_defaults(run=run)
        return made

    # --- writing ---
    command("guide", "language:guide", "print the whole language, short enough for a prompt")

    new = command("new", "language:new", "begin a blueprint that passes")
    new.add_argument("name", metavar="NAME", help="the blueprint's name, lower_snake")
    new.add_argument("--folder", help="where to put it (default: a folder of that name)")
    new.add_argument(
        "--wasm", choices=("wat", "assemblyscript", "c"), help="with a tool that a module carries out, written in this"
    )

    check = command("check", "language:check", "read blueprints, and say what is wrong with them")
    check.add_argument("paths", nargs="+", metavar="PATH", help="a `.blueprint` file, or a bundle's folder")
    check.add_argument("--fix", action="store_true", help="carry out every fix that is offered")

    fmt = command(
        "fmt", "language:fmt", "lay blueprints out", "print the JSON form of one file, and leave the file as it is"
    )
    fmt.add_argument("paths", nargs="+", metavar="PATH", help="a file, a folder, or `-` for standard input")
    fmt.add_argument("--check", action="store_true", help="change nothing; exit 1 if something would change")
    fmt.add_argument("--from-json", action="store_true", help="read the JSON form and print the text")

    explain = command("explain", "language:explain", "explain a diagnostic's code")
    explain.add_argument("code", metavar="CODE", help="such as B101")

    verify = command("verify", "judgement:verify", "judge a bundle: algebra, search, simulation, properties, scenarios")
    verify.add_argument("path", metavar="PATH", help="a `.blueprint` file, or a bundle's folder")
    verify.add_argument("--levels", help="some of algebra,search,simulation,properties,scenarios (default: all)")
    verify.add_argument(
        "--smtlib", metavar="FOLDER", help="write what level 1 asks its solver there, as SMT-LIB 2, one file a question"
    )
    verify.add_argument(
        "--states", type=_positive, default=500_000, help="where the search stops (default: %(default)s)"
    )
    verify.add_argument("--seeds", type=_positive, help="how many runs are simulated (default: 16)")
    verify.add_argument(
        "--seed", type=int, default=0, help="the first of them, and of what is drawn (default: %(default)s)"
    )
    verify.add_argument("--fresh", action="store_true", help="judge anew, also what has been judged before")
    verify.add_argument("--seconds", type=float, default=120.0, help="where the judgement stops (default: %(default)s)")
    verify.add_argument(
        "--memory", type=_positive, metavar="MIB", default=4096,
        help="how much memory a process that judges may take (default: %(default)s)",
    )  # fmt: skip
    verify.add_argument(
        "--before", metavar="PATH", help="the bundle that is live: simulated runs begin on it, and swap on the way"
    )

    strength = command("strength", "learning:strength", "say how much the properties and scenarios would notice")
    strength.add_argument("path", metavar="PATH", help="a `.blueprint` file, or a bundle's folder")
    strength.add_argument(
        "--mutants", type=_positive, default=200, help="how many changes are tried at most (default: %(default)s)"
    )
    strength.add_argument(
        "--seconds", type=float, default=60.0, help="where the measurement stops (default: %(default)s)"
    )
    strength.add_argument("--fresh", action="store_true", help="measure anew, also what has been measured before")
    strength.add_argument(
        "--journal",
        metavar="FILE|URL",
        help="suggest what has held in these entries too: what `temper history --json` printed, or a server's all",
    )
    strength.add_argument(
        "--token-file", help="a file that holds the token for that server (default: the token in $TEMPER_TOKEN)"
    )
    keep = command("keep", "learning:keep", "keep what broke or what happened as a scenario")
    keep.add_argument("path", metavar="PATH", help="the bundle's folder, into whose `scenarios` it is written")
    keep.add_argument(
        "--report",
        metavar="FILE",
        help="what `temper verify --json` printed, `-` for standard input (default: verify now)",
    )
    keep.add_argument(
        "--seed", type=int, metavar="N", help="what this seed breaks: its simulated run, and what it draws"
    )
    keep.add_argument("--property", help="only the run that breaks the property of this name")
    keep.add_argument("--history", metavar="ENTITY/ID", help="what happened to an entity, of a server or a journal")
    keep.add_argument(
        "--journal",
        metavar="FILE|URL",
        help="entries, as `temper history --json` prints them, `-` for standard input, or a server",
    )
    keep.add_argument(
        "--from",
        dest="begin",
        type=_positive,
        metavar="SEQ",
        help="only what happened from this number on; what was before is given",
    )
    keep.add_argument("--until", type=_positive, metavar="SEQ", help="only what happened up to this number")
    keep.add_argument("--title", help="the scenario's title")
    _remote(keep)
    conform = command("conform", "learning:conform", "hold a journal against the blueprint that it claims")
    conform.add_argument(
        "target", metavar="PATH|BLUEPRINT", help="a file, a bundle's folder, or what a server serves by that name"
    )
    conform.add_argument(
        "--journal",
        metavar="FILE|URL",
        help="entries, as `temper history --json` prints them or one on each line, `-` for standard input",
    )
    conform.add_argument(
        "--anyway", action="store_true", help="hold every entry against it, whichever version decided it"
    )
    conform.add_argument("--part", action="store_true", help="the journal is a part: what is not in it may have been")
    _remote(conform)

    # --- serving ---
    serve = command(
        "serve", "serving:serve", "serve blueprints over HTTP", "tell what happens as one JSON object a line"
    )
    serve.add_argument("paths", nargs="*", default=[], metavar="PATH", help="bundles to push at the start")
    _settings(serve)
    serve.add_argument("--host", help="where to listen (default: the settings', 127.0.0.1)")
    serve.add_argument("--port", type=int, help="0 lets the system choose (default: the settings', 8420)")
    serve.add_argument("--url", help="where other servers of that PostgreSQL reach this one (default: as it listens)")
    serve.add_argument("--watch", action="store_true", help="push the bundles again whenever their files change")

    token = command("token", "tokens:token", "make, list and revoke tokens")
    verbs = token.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=kind)
    make = verbs.add_parser("make", help="make a token and print it, once")
    make.add_argument("principal", metavar="PRINCIPAL", help="who bears it")
    make.add_argument("--role", action="append", default=[], help="a role that the bearer holds; may repeat")
    make.add_argument("--admin", action="store_true", help="may push, roll back and make tokens")
    make.add_argument("--acts-for", help="the person behind an agent")
    make.add_argument("--ttl", help="how long it is good, such as 12h (default: until it is revoked)")
    make.add_argument("--team", action="append", default=[], help="a team, which policies may ask for; may repeat")
    make.add_argument(
        "--attribute", action="append", default=[], metavar="NAME=VALUE",
        help="what else policies may ask for; may repeat",
    )  # fmt: skip
    make.add_argument(
        "--scope", action="append", metavar="BLUEPRINT[/ENTITY[/ID]]",
        help="what it reaches; may repeat (default: everything)",
    )  # fmt: skip
    make.add_argument("--read-only", action="store_true", help="changes nothing")
    listed = verbs.add_parser("list", help="list all tokens, without their secrets")
    rotate = verbs.add_parser("rotate", help="give a token another secret and print it, once")
    rotate.add_argument("id", metavar="ID", help="the token's id, as `list` shows it")
    rotate.add_argument(
        "--grace", default="0s", help="how long the secret that it had stays good (default: %(default)s)"
    )
    revoke = verbs.add_parser("revoke", help="revoke a token at once, and the sessions that were started with it")
    revoke.add_argument("id", metavar="ID", help="the token's id, as `list` shows it")
    for verb in (make, listed, rotate, revoke):
        verb.add_argument("--json", action="store_true", help=JSON)
        _settings(verb)
        verb.add_argument(
            "--server",
            help="ask a server instead of its data folder (default: $TEMPER_SERVER, where none of --data, --store "
            "and --settings says where the data is)",
        )
        verb.set_defaults(run="tokens:token")

    session = command("session", "sessions:session", "start, list and end sessions: credentials for your agents")
    verbs = session.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=kind)
    start = verbs.add_parser("start", help="start a session that acts for you, and print its token, once")
    start.add_argument("name", metavar="NAME", help="the agent, or what it is to do")
    start.add_argument("--role", action="append", help="one of your roles; may repeat (default: all of them)")
    start.add_argument(
        "--entity", action="append", metavar="BLUEPRINT[/ENTITY[/ID]]",
        help="what it reaches; may repeat (default: what you reach)",
    )  # fmt: skip
    start.add_argument("--read-only", action="store_true", help="changes nothing")
    start.add_argument("--admin", action="store_true", help="may push and roll back, as you may")
    start.add_argument("--ttl", default="1h", help="how long it is good (default: %(default)s)")
    ongoing = verbs.add_parser("list", help="list your sessions that have not ended")
    end = verbs.add_parser("end", help="end a session at once, and those that it has started")
    end.add_argument("id", metavar="ID", help="its id, as `list` shows it")
    for verb in (start, ongoing, end):
        verb.add_argument("--json", action="store_true", help=JSON)
        _remote(verb)
        verb.set_defaults(run="sessions:session")
    whoami = command("whoami", "sessions:whoami", "say who your token names, for whom it acts, and how far it reaches")
    _remote(whoami)

    # --- changing ---
    plan = command("plan", "changing:plan", "say what pushing a bundle would change and strand")
    plan.add_argument("path", metavar="PATH", help="a `.blueprint` file, or a bundle's folder")
    plan.add_argument("--strength", action="store_true", help="say how much its properties and scenarios would notice")
    _remote(plan)
    push = command("push", "changing:push", "verify a bundle and put it in force, at once and as a whole")
    push.add_argument("path", metavar="PATH", help="a `.blueprint` file, or a bundle's folder")
    push.add_argument("--note", default="", help="a word for the list of versions")
    push.add_argument("--if-version", type=int, help="only if this version is in force (0: none)")
    _remote(push)
    shadow = command("shadow", "changing:shadow", "say which of the last requests a bundle would answer otherwise")
    shadow.add_argument("path", metavar="PATH", help="a `.blueprint` file, or a bundle's folder")
    shadow.add_argument("--last", type=_positive, default=1_000, help="how many requests (default: 1000)")
    _remote(shadow)
    versions = command("versions", "changing:versions", "list the versions of a blueprint")
    versions.add_argument("blueprint", metavar="BLUEPRINT", help="its name")
    _remote(versions)
    rollback = command("rollback", "changing:rollback", "push an earlier version again")
    rollback.add_argument("blueprint", metavar="BLUEPRINT", help="its name")
    rollback.add_argument(
        "to", metavar="VERSION", type=_positive, nargs="?", help="a version's number (default: the one before)"
    )
    rollback.add_argument("--note", default="", help="a word for the list of versions")
    _remote(rollback)

    canary = command("canary", "canary:canary", "have some new entities live by a candidate, then all or none")
    canary.add_argument("blueprint", metavar="BLUEPRINT", help="its name")
    ends = canary.add_mutually_exclusive_group()
    ends.add_argument("--start", metavar="PATH", help="begin, with this bundle as the candidate")
    ends.add_argument("--promote", action="store_true", help="put the candidate in force for all")
    ends.add_argument("--withdraw", action="store_true", help="carry those who live by the candidate back")
    canary.add_argument("--share", default="0%", help="of new entities, such as 5%% (default: %(default)s)")
    canary.add_argument(
        "--named", metavar="ENTITY/ID", action="append", default=[], help="one that is to be created; may be repeated"
    )
    canary.add_argument("--note", default="", help="a word for the list of versions")
    _remote(canary)

    policies = command("policies", "policies:policies", "print all of who may, as Cedar: what `by` says, and the files")
    policies.add_argument("path", nargs="?", metavar="PATH", help="a bundle's folder, or one file (default: here)")
    policies.add_argument("--blueprint", help="what a server serves by this name, in place of a PATH")
    policies.add_argument("--schema", action="store_true", help="the schema that `*.cedar` files are held against")
    _remote(policies)
    simulate = command(
        "simulate-policy", "policies:simulate_policy", "say who could do what, and what other policies would change"
    )
    simulate.add_argument("target", metavar="BLUEPRINT[/ENTITY[/ID]]", help="what is asked about")
    simulate.add_argument(
        "action", nargs="?", metavar="ACTION", help="an action, or `read`, or `ACTION.approve` (default: all)"
    )
    simulate.add_argument(
        "--with", dest="candidate", metavar="PATH",
        help="a `.cedar` file in place of all that are in force, or a bundle: what would change?",
    )  # fmt: skip
    _remote(simulate)

    # --- working ---
    act = command("act", "working:act", "take an action")
    act.add_argument("target", metavar="BLUEPRINT/ENTITY[/ID]", help="without an id, the action creates an entity")
    act.add_argument("action", metavar="ACTION", help="the action's name")
    _params(act)
    act.add_argument("--key", help="an idempotency key: the same request with the same key is done once")
    act.add_argument("--if-version", type=int, help="only if the entity is at this version")
    act.add_argument("--dry-run", action="store_true", help="decide, and change nothing")
    _remote(act)
    show = command("show", "working:show", "show a blueprint, its entities, or one of them")
    show.add_argument(
        "target", nargs="?", default="", metavar="BLUEPRINT[/ENTITY[/ID]]", help="without one, all that is served"
    )
    show.add_argument("--filter", help="an expression, such as 'state is Rolling and moved > 2'")
    show.add_argument("--sort", help="a field, created_at, updated_at or id; `-` before it for downwards")
    show.add_argument("--limit", type=_positive, default=50, help="entities on a page (default: %(default)s)")
    show.add_argument("--cursor", help="go on where a page ended")
    show.add_argument("--count", action="store_true", help="count all that the filter finds")
    show.add_argument("--at", metavar="SEQ|TIME", help="as they were after that entry, or at that time")
    _remote(show)
    now = command("now", "working:now", "say what can be done now, by you")
    now.add_argument("target", metavar="BLUEPRINT/ENTITY[/ID]", help="without an id: how one can be created")
    _remote(now)
    why = command("why", "working:why", "say what an action would do, or which clause would refuse it")
    why.add_argument("target", metavar="BLUEPRINT/ENTITY[/ID]", help="without an id, the action creates an entity")
    why.add_argument("action", metavar="ACTION", help="the action's name")
    _params(why)
    _remote(why)
    history = command("history", "working:history", "tell what happened to an entity")
    history.add_argument("target", metavar="BLUEPRINT/ENTITY/ID", help="which entity")
    history.add_argument("--after", type=int, default=0, help="only what came after this number")
    history.add_argument("--follow", action="store_true", help="stay, and tell what happens")
    _remote(history)

    letters = command("letters", "outbox:letters", "look after orders that nobody has a place for")
    verbs = letters.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=kind)
    for name, said in (
        ("list", "list dead letters, oldest first"),
        ("show", "show a dead letter, or any order that has not ended"),
        ("retry", "have an order tried now, whatever it waits for"),
        ("discard", "give an order up: a call ends `unknown`, a send is dropped"),
    ):
        verb = verbs.add_parser(name, help=said)
        verb.add_argument("blueprint", metavar="BLUEPRINT", help="its name")
        if name != "list":
            verb.add_argument("order", metavar="ORDER", help="the order's id, as `list` and `show` tell it")
        if name in {"retry", "discard"}:
            verb.add_argument("--note", default="", help="why, for the history of who ordered it")
        verb.add_argument("--json", action="store_true", help=JSON)
        _remote(verb)
        verb.set_defaults(run="outbox:letters")
    tools = command("tools", "outbox:tools", "say how a blueprint's tools are being called, and what waits")
    tools.add_argument("blueprint", metavar="BLUEPRINT", help="its name")
    _remote(tools)

    # --- deciding ---
    decisions = command("decisions", "decisions:decisions", "list what waits for an approval, show it, or answer it")
    decisions.add_argument("id", metavar="ID", nargs="?", help="a decision's id, as the list and a refusal tell it")
    answer = decisions.add_mutually_exclusive_group()
    for way, said in (
        ("grant", "approve it: it is carried out at once"),
        ("deny", "say no"),
        ("withdraw", "take back what you have asked for"),
    ):
        answer.add_argument(f"--{way}", dest="answer", action="store_const", const=way, help=said)
    decisions.add_argument(
        "--scope", choices=("call", "entity", "action"), default="call",
        help="grant this call, or beside it more of this entity, or of any by this action (default: %(default)s)",
    )  # fmt: skip
    decisions.add_argument("--for", dest="lasts", metavar="DURATION", help="how long more are granted (default: 1h)")
    decisions.add_argument("--uses", type=_positive, help="how many more are granted (default: 1)")
    decisions.add_argument("--keep", action="store_true", help="grant them across versions (default: a push ends them)")
    decisions.add_argument("--reason", help="a word for whoever asked, and for the history")
    decisions.add_argument("--wait", metavar="DURATION", help="wait for the end of the decision, such as 30s")
    decisions.add_argument("--state", default="Pending", help="those in this state, or `all` (default: %(default)s)")
    decisions.add_argument("--limit", type=_positive, default=50, help="decisions on a page (default: %(default)s)")
    decisions.add_argument("--cursor", help="go on where a page ended")
    decisions.add_argument("--follow", action="store_true", help="stay, and tell what happens to decisions")
    _remote(decisions)
    grants = command("grants", "decisions:grants", "list what is granted for more than one call, or end a grant")
    grants.add_argument("--to", metavar="PRINCIPAL", help="only those to this principal")
    grants.add_argument("--revoke", metavar="ID", help="end this one, at once")
    grants.add_argument("--reason", help="why it is ended, for the history")
    _remote(grants)
    pause = command("pause", "pauses:pause", "stop a principal, a role, a tool or a blueprint, at once")
    pause.add_argument("kind", choices=("principal", "role", "tool", "bundle"), help="what is stopped")
    pause.add_argument("name", metavar="NAME", help="its name")
    pause.add_argument("--reason", required=True, help="why: those who are stopped read it")
    pause.add_argument("--blueprint", help="in this blueprint alone (default: in all)")
    pause.add_argument("--for", dest="lasts", metavar="DURATION", help="how long, such as 1h (default: until `resume`)")
    _remote(pause)
    resume = command("resume", "pauses:resume", "let what was paused go on")
    resume.add_argument("id", metavar="ID", help="the pause's id, as `temper pauses` shows it")
    _remote(resume)
    pauses = command("pauses", "pauses:pauses", "list what is paused")
    _remote(pauses)

    # --- keeping ---
    audit = command("audit", "whole:audit", "walk a blueprint's journal, and say what in it is not what was written")
    _space(audit)
    audit.add_argument(
        "--expect", action="append", default=[], metavar="HASH@SEQ",
        help="what an earlier audit printed, kept elsewhere: tells a log that was cut off or written anew; may repeat",
    )  # fmt: skip
    export = command("export", "whole:export", "write all of a blueprint as one stream, while it is served")
    _space(export)
    export.add_argument("--to", metavar="FILE", help="compressed where it ends with .gz (default: standard output)")
    take_in = command("import", "whole:take_in", "take an exported blueprint in, where it is not yet")
    take_in.add_argument("stream", metavar="FILE", help="what `temper export` wrote, `-` for standard input")
    _settings(take_in)
    take_in.add_argument(
        "--partitions", type=_positive, help="of the blueprint in a --store (default: as many as it had)"
    )

    # --- the rest ---
    demo = command(
        "demo",
        "demo:demo",
        "see a rollout halt, get its way back while it hangs, and take it",
        "print one object at the end",
    )
    demo.add_argument("--fast", action="store_true", help="leave out the pauses that are there for reading")
    completion = command("completion", "language:completion", "print a completion script")
    completion.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="for which shell")
    # Whoever mistypes a command is told which there are.
    return parser if not only or only in commands.choices else build(kind)


class _Unasked:
    """Stands for the parser of a command that nobody asked for: it takes whatever it is told."""

    def __getattr__(self, name: str) -> Callable[..., _Unasked]:
        return lambda *given, **named: self


def _settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--settings", help="the settings file (default: ./temper.toml, if it is there)")
    parser.add_argument("--data", help="the data folder (default: the settings', ./temper-data)")
    parser.add_argument("--store", help="a PostgreSQL to keep blueprints in (default: the settings', the data folder)")


def _space(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("space", metavar="BLUEPRINT|FILE", help="its name, or the file that it is kept in")
    _settings(parser)


def _remote(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server", help=f"where the server is (default: $TEMPER_SERVER, this folder's temper.toml, else {SERVER})"
    )
    parser.add_argument("--token-file", help="a file that holds the token (default: the token in $TEMPER_TOKEN)")


def _params(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "params", nargs="*", default=[], metavar="NAME=VALUE", help="a parameter; NAME:=JSON for any JSON value"
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


def _sentence(help: str) -> str:
    return f"{help[0].upper()}{help[1:]}."
