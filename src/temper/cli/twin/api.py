"""The twin's HTTP face: the real API's paths, and `/twin/...` for whoever directs the play.

| path | answers |
|---|---|
| `/version`, `/api`, `/apis`, `/apis/apps`, `/api/v1`, `/apis/apps/v1` | discovery |
| `/apis/apps/v1/namespaces/{ns}/statefulsets`, `.../{name}` | GET; PATCH (merge, strategic merge, server-side apply) |
| `/api/v1/namespaces/{ns}/pods`, `.../{name}` | GET, with `labelSelector`; DELETE of one |
| `POST /twin/faults`, `DELETE /twin/faults` | one fault more, as `Fault` says; none any more |
| `GET /twin/log` | every PATCH that was read, in order, with the status that it was given |

Errors are `Status` objects with the reasons of the real API. Not there: watches, field ownership (apply merges as a
strategic patch does and finds no conflicts), JSON patches, other kinds.
"""

from __future__ import annotations

import json
import re
import time
from collections import deque
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from temper.cli.twin.patch import BadPatch, merge, strategic
from temper.cli.twin.statefulset import Crash, Slow, StatefulSet, problem_in

BODY_MAX = 3 * 1024 * 1024  # The real API server's limit.
LOG_MAX = 10_000  # The oldest are forgotten first.

_MERGE = "application/merge-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"
_APPLY = "application/apply-patch+yaml"
_FAULTS_OF_REQUESTS = ("http500", "hang", "drop")


@dataclass(slots=True)
class RequestFault:
    """What befalls the next `count` requests to the API: of one method, or of any."""

    fault: str  # `http500`: refused with 500. `hang`: never answered. `drop`: carried out, then cut off.
    count: int
    method: str | None


@dataclass(slots=True)
class Twin:
    """One cluster that holds one StatefulSet, with the faults asked for and the log of its patches."""

    sets: StatefulSet
    token: str
    started: float = field(default_factory=time.monotonic)
    faults: list[RequestFault] = field(default_factory=list)
    log: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=LOG_MAX))

    def at_now(self) -> StatefulSet:
        """The set as it is at this moment."""
        self.sets.advance(time.monotonic() - self.started)
        return self.sets

    def take_fault(self, method: str) -> str | None:
        """Use up one of the faults asked for that fits, and name it."""
        for fault in self.faults:
            if fault.method in (None, method):
                fault.count -= 1
                if not fault.count:
                    self.faults.remove(fault)
                return fault.fault
        return None


def app(twin: Twin) -> ASGIApp:
    """Return the twin as an application."""
    version = {"major": "1", "minor": "34", "gitVersion": "v1.34.0+twin", "platform": "temper/twin"}
    statefulsets = "/apis/apps/v1/namespaces/{namespace}/statefulsets"
    pods = "/api/v1/namespaces/{namespace}/pods"
    door = _Door(twin)
    routes = [
        Route("/version", _fixed(version)),
        Route("/api", _fixed({"kind": "APIVersions", "versions": ["v1"]})),
        Route("/apis", _fixed({"kind": "APIGroupList", "apiVersion": "v1", "groups": [_GROUP]})),
        Route("/apis/apps", _fixed({"kind": "APIGroup", "apiVersion": "v1", **_GROUP})),
        Route("/api/v1", _fixed(_resources("v1", "pods", "Pod", ["delete", "get", "list"]))),
        Route("/apis/apps/v1", _fixed(_resources("apps/v1", "statefulsets", "StatefulSet", ["get", "list", "patch"]))),
        Route(statefulsets, door.list_statefulsets, methods=["GET"]),
        Route(statefulsets + "/{name}", door.get_statefulset, methods=["GET"]),
        Route(statefulsets + "/{name}", door.patch_statefulset, methods=["PATCH"]),
        Route(statefulsets + "/{name}", _not_allowed, methods=["POST", "PUT", "DELETE"]),
        Route(pods, door.list_pods, methods=["GET"]),
        Route(pods + "/{name}", door.get_pod, methods=["GET"]),
        Route(pods + "/{name}", door.delete_pod, methods=["DELETE"]),
        Route(pods + "/{name}", _not_allowed, methods=["POST", "PUT", "PATCH"]),
        Route("/twin/faults", door.add_fault, methods=["POST"]),
        Route("/twin/faults", door.clear_faults, methods=["DELETE"]),
        Route("/twin/log", door.read_log, methods=["GET"]),
    ]
    handlers: Any = {404: _not_found, 405: _not_allowed, 500: _broken}
    return _Stage(Starlette(routes=routes, exception_handlers=handlers), twin)


# --- the API --------------------------------------------------------------------------------------


class _Door:
    """The answers to the requests, one method each."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin

    async def list_statefulsets(self, request: Request) -> Response:
        sets = self._twin.at_now()
        here = sets.namespace == request.path_params["namespace"]
        return self._listed(request, "apps/v1", "StatefulSetList", [sets.to_json()] if here else [])

    async def get_statefulset(self, request: Request) -> Response:
        sets = self._find(request)
        return JSONResponse(sets.to_json()) if sets else _missing(request, "statefulsets.apps")

    async def patch_statefulset(self, request: Request) -> Response:
        content_type = request.headers.get("content-type", "").partition(";")[0].strip()
        raw = await request.body()
        response, body, changed = self._patch(request, content_type, raw)
        sets = self._twin.sets
        self._twin.log.append(
            {
                "at": round(sets.now, 3),
                "name": request.path_params["name"],
                "contentType": content_type,
                "body": body,
                "status": response.status_code,
                "changed": changed,
                "generation": sets.generation,
                "resourceVersion": str(sets.version),
            }
        )
        return response

    def _patch(self, request: Request, content_type: str, raw: bytes) -> tuple[Response, Any, bool]:
        if content_type not in (_MERGE, _STRATEGIC, _APPLY):
            message = (
                "the body of the request was in an unknown format - accepted media types include: "
                f"{_MERGE}, {_STRATEGIC}, {_APPLY}"
            )
            return _status(415, "UnsupportedMediaType", message), None, False
        if len(raw) > BODY_MAX:
            return _status(413, "RequestEntityTooLarge", f"limit is {BODY_MAX}"), None, False
        try:
            patch = json.loads(raw)
        except (ValueError, RecursionError) as error:
            return _status(400, "BadRequest", f"error decoding patch: {error}"), None, False
        sets = self._find(request)
        if sets is None:
            return _missing(request, "statefulsets.apps"), patch, False
        response, changed = _apply(sets, request, content_type, patch)
        return response, patch, changed

    async def list_pods(self, request: Request) -> Response:
        sets = self._twin.at_now()
        here = sets.namespace == request.path_params["namespace"]
        return self._listed(request, "v1", "PodList", sets.pods_json() if here else [])

    async def get_pod(self, request: Request) -> Response:
        pod = self._find_pod(request)
        return JSONResponse(pod) if pod else _missing(request, "pods")

    async def delete_pod(self, request: Request) -> Response:
        pod = self._find_pod(request)
        if pod is None:
            return _missing(request, "pods")
        self._twin.sets.delete_pod(int(pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"]))
        return JSONResponse(self._find_pod(request) or pod)

    def _find(self, request: Request) -> StatefulSet | None:
        sets = self._twin.at_now()
        wanted = request.path_params["namespace"], request.path_params["name"]
        return sets if (sets.namespace, sets.name) == wanted else None

    def _find_pod(self, request: Request) -> dict[str, Any] | None:
        sets = self._twin.at_now()
        if sets.namespace != request.path_params["namespace"]:
            return None
        name = request.path_params["name"]
        return next((pod for pod in sets.pods_json() if pod["metadata"]["name"] == name), None)

    def _listed(self, request: Request, api: str, kind: str, items: list[dict[str, Any]]) -> Response:
        if request.query_params.get("watch", "").lower() in ("1", "true"):
            return _status(405, "MethodNotAllowed", "the twin has no watches: read it again instead")
        try:
            chosen = [item for item in items if _selected(request, item["metadata"].get("labels", {}))]
        except BadPatch as error:
            return _status(400, "BadRequest", str(error))
        metadata = {"resourceVersion": str(self._twin.sets.version)}
        return JSONResponse({"kind": kind, "apiVersion": api, "metadata": metadata, "items": chosen})

    # --- whoever directs the play -----------------------------------------------------------------

    async def add_fault(self, request: Request) -> Response:
        try:
            wish = json.loads(await request.body())
        except (ValueError, RecursionError):
            wish = None
        problem = _fault_problem(wish)
        if problem is not None or not isinstance(wish, dict):
            return _status(422, "Invalid", problem or "a fault is an object")
        fault = wish["fault"]
        sets = self._twin.at_now()
        if fault == "crash":
            message = wish.get("message", f"image {wish['image']} is broken")
            sets.crashes.append(Crash(wish["image"], wish.get("ordinal"), message))
        elif fault == "slow":
            sets.slows.append(Slow(wish.get("ordinal"), float(wish.get("seconds", 5))))
        else:
            method = wish.get("method", "PATCH" if fault == "drop" else None)
            self._twin.faults.append(RequestFault(fault, wish.get("count", 1), method))
        return JSONResponse(wish, status_code=201)

    async def clear_faults(self, request: Request) -> Response:
        sets = self._twin.at_now()
        sets.crashes.clear()
        sets.slows.clear()
        self._twin.faults.clear()
        return Response(status_code=204)

    async def read_log(self, request: Request) -> Response:
        return JSONResponse({"patches": list(self._twin.log)})


def _apply(sets: StatefulSet, request: Request, content_type: str, patch: Any) -> tuple[Response, bool]:
    """Take one patch, or say why not; and whether it changed anything."""
    if not isinstance(patch, dict):
        return _status(400, "BadRequest", "a patch is an object"), False
    before = sets.to_json()
    if content_type == _APPLY:
        if not request.query_params.get("fieldManager"):
            return _status(422, "Invalid", "PatchOptions is invalid: fieldManager: Required value: is required"), False
        if patch.get("apiVersion") != "apps/v1" or patch.get("kind") != "StatefulSet":
            return _status(400, "BadRequest", "an applied object names its apiVersion and kind"), False
    try:
        after = merge(before, patch) if content_type == _MERGE else strategic(before, patch)
    except BadPatch as error:
        return _status(400, "BadRequest", str(error)), False
    metadata = after.get("metadata") if isinstance(after.get("metadata"), dict) else {}
    if (metadata.get("name"), metadata.get("namespace")) != (sets.name, sets.namespace):
        return _status(400, "BadRequest", "the name and the namespace of an object can't be patched"), False
    if metadata.get("resourceVersion") != before["metadata"]["resourceVersion"]:
        message = (
            f'Operation cannot be fulfilled on statefulsets.apps "{sets.name}": the object has been modified; '
            "please apply your changes to the latest version and try again"
        )
        return _status(409, "Conflict", message), False
    problem = problem_in(after.get("spec"), sets.spec)
    if problem is None:
        problem = _problem_in_texts(metadata)
    if problem is not None:
        where, message = problem
        text = f'StatefulSet.apps "{sets.name}" is invalid: {where}: {message}'
        return _status(422, "Invalid", text), False
    texts = metadata.get("labels") or {}, metadata.get("annotations") or {}
    changed = after["spec"] != sets.spec or texts != (sets.labels, sets.annotations)
    if request.query_params.get("dryRun") == "All":
        return JSONResponse({**before, "spec": after["spec"]}), False
    if texts != (sets.labels, sets.annotations):
        sets.labels, sets.annotations = texts
        sets.touch()
    if after["spec"] != sets.spec:
        sets.replace_spec(after["spec"])
    return JSONResponse(sets.to_json()), changed


def _problem_in_texts(metadata: dict[str, Any]) -> tuple[str, str] | None:
    for key in ("labels", "annotations"):
        texts = metadata.get(key) or {}
        if not isinstance(texts, dict) or not all(isinstance(value, str) for value in texts.values()):
            return f"metadata.{key}", "Invalid value: a map of strings is wanted"
    return None


_SET_TERM = re.compile(r"\s*([^\s,=!()]+)\s+(in|notin)\s+\(([^)]*)\)\s*(?:,|$)")
_TERM = re.compile(r"\s*(!?)([^\s,=!()]+)\s*(?:(==|=|!=)\s*([^\s,=!()]*))?\s*(?:,|$)")


def _selected(request: Request, labels: dict[str, str]) -> bool:
    """Whether the request's `labelSelector` takes an object with these labels."""
    rest = request.query_params.get("labelSelector", "")
    chosen = True
    while rest.strip():
        if found := _SET_TERM.match(rest):
            key, how, values = found.groups()
            inside = labels.get(key) in {value.strip() for value in values.split(",")}
            chosen = chosen and inside == (how == "in")
        elif found := _TERM.match(rest):
            absent, key, how, value = found.groups()
            if how is None:
                chosen = chosen and (key in labels) != bool(absent)
            else:
                chosen = chosen and (labels.get(key) == value) == (how != "!=")
        else:
            raise BadPatch(f"unable to parse requirement: {rest!r}")
        rest = rest[found.end() :]
    return chosen


def _fault_problem(wish: Any) -> str | None:
    """What is wrong with a wish for a fault, or `None`."""
    if not isinstance(wish, dict):
        return "a fault is an object"
    known: dict[str, dict[str, tuple[type, ...]]] = {
        "crash": {"image": (str,), "ordinal": (int,), "message": (str,)},
        "slow": {"ordinal": (int,), "seconds": (int, float)},
        **{fault: {"count": (int,), "method": (str,)} for fault in _FAULTS_OF_REQUESTS},
    }
    fault = wish.get("fault")
    if not isinstance(fault, str) or fault not in known:
        return f"`fault` is one of {', '.join(known)}"
    for key, value in wish.items():
        if key != "fault" and not (key in known[fault] and isinstance(value, known[fault][key])):
            return f"`{key}` has no such place in `{fault}`"
    if fault == "crash" and "image" not in wish:
        return "`crash` needs an `image`"
    if wish.get("count", 1) < 1:
        return "`count` is at least 1"
    return None


# --- answers --------------------------------------------------------------------------------------

_GROUP = {
    "name": "apps",
    "versions": [{"groupVersion": "apps/v1", "version": "v1"}],
    "preferredVersion": {"groupVersion": "apps/v1", "version": "v1"},
}


def _resources(version: str, plural: str, kind: str, verbs: list[str]) -> dict[str, Any]:
    resource = {"name": plural, "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": verbs}
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": [resource]}


def _fixed(body: dict[str, Any]) -> Any:
    async def answer(request: Request) -> Response:
        return JSONResponse(body)

    return answer


def _status(code: int, reason: str, message: str, **details: Any) -> JSONResponse:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        **({"details": details} if details else {}),
        "code": code,
    }
    return JSONResponse(body, status_code=code)


def _missing(request: Request, kind: str) -> JSONResponse:
    name = request.path_params["name"]
    return _status(404, "NotFound", f'{kind} "{name}" not found', name=name, kind=kind.partition(".")[0])


async def _not_found(request: Request, _error: Exception) -> Response:
    return _status(404, "NotFound", "the server could not find the requested resource")


async def _not_allowed(request: Request, _error: Exception | None = None) -> Response:
    return _status(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


async def _broken(request: Request, error: Exception) -> Response:
    return _status(500, "InternalError", f"the twin itself is broken: {error!r}")


# --- what happens to a request on its way ---------------------------------------------------------


class Protocol(H11Protocol):
    """uvicorn's protocol, which also remembers its connections, so that one can be cut."""

    open: MutableMapping[tuple[str, int], Any] = {}  # noqa: RUF012  # one server a process; the key is the peer

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.open[transport.get_extra_info("peername")[:2]] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.open.pop(self.transport.get_extra_info("peername")[:2], None)
        super().connection_lost(exc)


class _Stage:
    """Asks for the token, and brings about the faults of requests."""

    def __init__(self, inner: ASGIApp, twin: Twin) -> None:
        self._inner = inner
        self._twin = twin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/twin/"):
            await self._inner(scope, receive, send)
            return
        if dict(scope["headers"]).get(b"authorization") != f"Bearer {self._twin.token}".encode():
            await _status(401, "Unauthorized", "Unauthorized")(scope, receive, send)
            return
        match self._twin.take_fault(scope["method"]):
            case "http500":
                await _status(500, "InternalError", "the twin was asked to fail")(scope, receive, send)
            case "hang":
                await _until_gone(receive)
            case "drop":
                await self._inner(scope, receive, _nowhere)
                Protocol.open[tuple(scope["client"])].abort()
                await _until_gone(receive)
            case _:
                await self._inner(scope, receive, send)


async def _until_gone(receive: Receive) -> None:
    """Wait until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _nowhere(_message: Message) -> None:
    """Let an answer go nowhere."""
