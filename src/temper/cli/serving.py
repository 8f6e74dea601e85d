"""`temper serve`: the one place that wires real ports."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import uvloop

from temper.cli.bundles import read
from temper.cli.changing import change_lines
from temper.cli.client import problem_stop
from temper.cli.exits import Exit, Stop
from temper.cli.logs import log_to_standard_error
from temper.cli.paint import Paint, coloured
from temper.cli.settings import settings
from temper.runtime import guard_memory, watch
from temper.service import CannotOpen, Declined, Loaded, Person, Workshop, check_texts, duration_ms, rate_of, wire
from temper.web import Limits, Tls
from temper.web import serve as serve_http

# Who pushes what the command line names: it is on the machine where the data is.
OPERATOR = Person("command line", admin=True, via="server")


def serve(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM."""
    try:
        return _until_told(args)
    except Stop as stop:
        if not args.json:
            raise
        # A line like every other: whoever reads lines reads this one too.
        data = stop.data if stop.data is not None else {"error": stop.text, "help": stop.help}
        print(json.dumps({"event": "failed", **data}, ensure_ascii=False), flush=True)
        return stop.code


def _until_told(args: argparse.Namespace) -> int:
    guard_memory()
    loaded = settings(args)
    log_to_standard_error(loaded.vault.hide)
    if args.watch and not args.paths:
        raise Stop(Exit.USAGE, "there is nothing to watch", help="name the bundles: `temper serve --watch PATH`")
    try:
        return uvloop.run(_serve(args, loaded))
    except CannotOpen as cannot:
        listed = "\n".join(f"  {problem}" for problem in cannot.problems)
        raise Stop(Exit.USAGE, f"the server cannot start\n{listed}") from cannot


async def _serve(args: argparse.Namespace, loaded: Loaded) -> int:
    teller = _Teller(as_json=args.json)
    workshop = await Workshop.open(loaded)
    try:
        if workshop.first_token is not None:
            teller.first_token(workshop.first_token)
        # Of what is in the data folder already; a push says its own.
        for notice in workshop.notices:
            teller.notice(str(notice))
        async with _watched(workshop, args.paths if args.watch else [], teller):
            for path in map(Path, args.paths):
                try:
                    teller.pushed(await _push(workshop, path))
                except Declined as declined:
                    raise problem_stop(wire.as_json(declined.problem)) from declined
            section = loaded.settings.server
            tls = _tls(loaded)
            if tls is not None and (exposed := tls.exposed()) is not None:
                teller.notice(exposed)
            try:
                await serve_http(
                    workshop,
                    section.host,
                    section.port,
                    limits=_limits(loaded),
                    origins=section.cors,
                    tls=tls,
                    on_ready=partial(_ready, workshop, teller, "http" if tls is None else "https"),
                )
            except OSError as error:
                raise Stop(
                    Exit.USAGE,
                    f"can't listen on {section.host}:{section.port}: {error.strerror}",
                    help="name another --port",
                ) from error
    finally:
        await workshop.close()
    return Exit.FINE


def _ready(workshop: Workshop, teller: _Teller, scheme: str, host: str, port: int) -> None:
    url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    # Before it takes part it is told so, since others send it what it decides from then on.
    taking_part = asyncio.get_running_loop().create_task(workshop.listening(url))
    taking_part.add_done_callback(lambda _: teller.ready(url, port))


@asynccontextmanager
async def _watched(workshop: Workshop, paths: list[str], teller: _Teller) -> AsyncIterator[None]:
    if not paths:
        yield
        return
    watching = asyncio.create_task(_watch(workshop, paths, teller))
    # It listens before the bundles are read for the first time, so that no change falls between the two.
    await asyncio.sleep(0)
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _push(workshop: Workshop, path: Path) -> wire.Pushed:
    files = read(path)
    checked = await asyncio.to_thread(check_texts, files)
    # A bundle that does not compile has no name to be pushed under: the path's is as good for telling so.
    name = checked.table.blueprint if checked.table is not None else path.stem.split(".")[0].lower() or "unnamed"
    return await workshop.push(OPERATOR, name, files, note=f"from {path}")


async def _watch(workshop: Workshop, paths: list[str], teller: _Teller) -> None:
    async for _ in watch([Path(path) for path in paths]):
        for path in map(Path, paths):
            try:
                pushed = await _push(workshop, path)
            except Declined as declined:
                teller.refused(path, declined)
            except Stop as stop:
                teller.notice(stop.text)
            else:
                if not pushed.unchanged:
                    teller.pushed(pushed)


def _tls(loaded: Loaded) -> Tls | None:
    section = loaded.settings.server
    if not section.tls_cert:
        return None
    cert, key, client_ca, ca = (
        loaded.folder / name if name else None
        for name in (section.tls_cert, section.tls_key, section.tls_client_ca, section.tls_ca)
    )
    assert cert is not None, "there is one"
    hsts_s = duration_ms(section.hsts) // 1000
    tls = Tls(cert, key or cert, client_ca, ca, client_optional=section.tls_client_optional, hsts_s=hsts_s)
    try:
        tls.check()
    except OSError as error:
        raise Stop(
            Exit.USAGE,
            f"TLS can't be had by `{cert}`: {error.strerror or error}",
            help="`tls_cert` and `tls_key` of `[server]` are files in PEM form that belong together",
        ) from error
    return tls


def _limits(loaded: Loaded) -> Limits:
    limits = loaded.settings.limits
    calls, per_s = rate_of(limits.rate) if limits.rate else (0, 1.0)
    deliveries, deliveries_per_s = rate_of(limits.webhook_rate) if limits.webhook_rate else (0, 1.0)
    return Limits(
        rate_max=calls,
        rate_per=per_s,
        hook_rate_max=deliveries,
        hook_rate_per=deliveries_per_s,
        body_max=limits.body_bytes,
        page_max=limits.page,
        wait_max=duration_ms(limits.wait) / 1000,
        requests_max=limits.requests,
        requests_each=limits.requests_each,
        streams_each=limits.streams_each,
        drain_timeout=duration_ms(loaded.settings.server.drain) / 1000,
    )


class _Teller:
    """What the server says while it runs: lines for people, or one JSON object a line."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._paint = Paint(colour=coloured(sys.stdout) and not as_json)

    def _say(self, event: str, shown: str, **data: object) -> None:
        print(json.dumps({"event": event, **data}, ensure_ascii=False) if self._as_json else shown, flush=True)

    def first_token(self, token: str) -> None:
        text = (
            "this is the first start: the administrator's token is below, and is shown once\n"
            f"  export TEMPER_TOKEN={self._paint(token, 'bold')}"
        )
        self._say("first-token", text, token=token)

    def pushed(self, pushed: wire.Pushed) -> None:
        head = f"{self._paint(pushed.blueprint, 'bold')}: version {pushed.version} ({pushed.digest[:12]}) is in force"
        lines = change_lines([wire.as_json(each) for each in pushed.changes], self._paint)
        self._say(
            "pushed",
            "\n".join((head, *lines)),
            blueprint=pushed.blueprint,
            version=pushed.version,
            digest=pushed.digest,
            unchanged=pushed.unchanged,
        )

    def refused(self, path: Path, declined: Declined) -> None:
        problem = wire.as_json(declined.problem)
        text = f"{self._paint(str(path), 'red')} was not pushed: {problem_stop(problem).text}"
        self._say("not-pushed", text, path=str(path), problem=problem)

    def notice(self, text: str) -> None:
        self._say("notice", f"{self._paint('note', 'yellow')}: {text}", text=text)

    def ready(self, url: str, port: int) -> None:
        self._say("ready", f"serving at {self._paint(url, 'bold')}", url=url, port=port)
