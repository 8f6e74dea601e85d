"""The few pages for people: what is here, and what each kind of problem means. They say nothing of any blueprint."""

from __future__ import annotations

from html import escape
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from temper.web.answer import KEPT_BY_NOBODY
from temper.web.problems import KINDS

_HEADERS: Final = {name.decode(): value.decode() for name, value in KEPT_BY_NOBODY} | {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
}
_STYLE: Final = "body{font:1rem/1.6 system-ui;max-width:42rem;margin:4rem auto;padding:0 1rem}code{background:#8882}"


def pages() -> Starlette:
    """Return the application that serves them. It needs no token, since there is nothing to keep."""
    return Starlette(routes=[Route("/", _home), Route("/problems/{kind}", _problem)])


async def _home(request: Request) -> Response:
    return _page(
        "Temper",
        "<p>This server runs blueprints: the lifecycles of things, judged before they run.</p>"
        '<p><a href="/openapi.json"><code>/openapi.json</code></a> describes every path of what is live here, '
        "<code>/v1</code> lists the blueprints, and <code>/healthz</code> says whether the server is up.</p>"
        "<p>All but this page, the kinds of problem and <code>/healthz</code> need a token: "
        "<code>Authorization: Bearer &hellip;</code></p>",
    )


async def _problem(request: Request) -> Response:
    kind = request.path_params["kind"]
    assert kind in KINDS, "the door lets only known kinds through"
    return _page(f"Problem: {kind}", f"<p>{escape(KINDS[kind])}</p>")


def _page(title: str, body: str) -> Response:
    return HTMLResponse(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f"<h1>{escape(title)}</h1>{body}</html>\n",
        headers=_HEADERS,
    )
