"""The `kubernetes` adapter: read or patch one object, and wait until the cluster has done as told.

```toml
[adapters.kubernetes]
kubeconfig = "~/.kube/config"        # or: in_cluster = true
context = "production"               # without it: the file's current one

[tools."kubernetes.set_partition"]
adapter = "kubernetes"
operation = "patch"                  # or "get"
kind = "apps/v1/StatefulSet"         # group/version/Kind; "v1/Pod" for the core group
plural = "statefulsets"              # where the English plural is not the API's
namespace = "streaming"              # without it: the context's; cluster_scoped = true for kinds that have none
name = "{cluster}"
body = { spec = { updateStrategy = { rollingUpdate = { partition = "{partition}" } } } }
patch = "strategic"                  # or "merge" (for custom resources), or "apply" (server-side)
until = [                            # all of these, over the object as it is read again every `poll`
  "status.observedGeneration >= metadata.generation",
  "status.updatedReplicas >= spec.replicas - {partition}",
  "status.readyReplicas == spec.replicas",
]
poll = "1s"
fail_when_pod = ["CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull"]
result = { ready = "status.readyReplicas" }
```

Without `until` the call answers as soon as the API has taken the patch. With it, it answers when all conditions hold;
until then it fails as soon as a pod of the object waits for one of the reasons in `fail_when_pod`, saying which pod
and why. Pods are found by the object's own selector; where its status has an `updateRevision`, only pods of that
revision count, so that those of a version that is being replaced do not. Nothing is said of pods before the
controller has seen the patch.

| what happened | outcome |
|---|---|
| an argument is missing, or makes no name | failed, `refused` |
| no connection | failed, `unavailable`, try again |
| 408, 429, any other 5xx | failed, `unavailable`, try again |
| any other status | failed, `rejected` |
| cut off, timed out, 502 or 504 while patching | unknown; for `get`: failed, `unavailable`, try again |
| the patch was taken, the conditions did not come true in time | unknown, with the first condition that did not |
| a pod is broken | failed, `unhealthy` |

A patch says what is to be, not what to add, so it may be repeated: declare such a tool `idempotent`. Where it
connects to is the kubeconfig's business; `egress` is for the `http` adapter, and the environment's proxies are not
used.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from temper.runtime.quiet import quiet
from temper.runtime.tools.adapter import Answered, Attempt, Call, Failed, Kind, Unknown, in_time
from temper.runtime.tools.condition import Condition, parse_condition, unmet
from temper.runtime.tools.path import Absent, Path, extract, look_up, parse_path
from temper.runtime.tools.reading import Table
from temper.runtime.tools.template import CannotFill, Fields, Shape, Template, fill, fill_text
from temper.runtime.vault import Vault

if TYPE_CHECKING:  # A quarter of a second to import, and an extra: only where a tool is bound to it.
    from lightkube import AsyncClient
    from lightkube.config.kubeconfig import SingleConfig

FIELD_MANAGER = "temper"
CONNECT_S = 5.0
POLL_MS = 1_000

_LATER = frozenset({408, 429})
_LOST = frozenset({502, 504})  # Something on the way gave up waiting for the answer.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")


@dataclass(frozen=True, slots=True)
class Binding:
    """One tool's settings, checked."""

    group: str
    version: str
    kind: str
    plural: str
    cluster_scoped: bool
    namespace: Template | None
    name: Template
    body: Fields | None  # `None` for `get`.
    patch: str
    until: tuple[Condition, ...]
    poll_s: float
    fail_when_pod: frozenset[str]
    result: tuple[tuple[str, Path], ...]


@dataclass(slots=True)
class _Progress:
    """How far an attempt is, for whoever has to say what a cut means."""

    patching: bool = False  # A patch has begun to leave, and has no answer yet.
    patched: bool = False
    waiting_for: str = ""

    def may_have_happened(self) -> bool:
        return self.patching or self.patched


class KubernetesAdapter:
    """Carries out a tool's calls as requests to a Kubernetes API."""

    def __init__(self, binding: Binding, config: SingleConfig, vault: Vault) -> None:
        self._binding = binding
        self._server = config.cluster.server
        # Not the configuration itself, which shows its token to whoever prints it.
        self._new_client: Callable[[], AsyncClient] = lambda: _new_client(config)
        self._vault = vault
        self._client: AsyncClient | None = None
        self._resource: Any = None

    def __repr__(self) -> str:
        return f"KubernetesAdapter({self._binding.kind} at {self._server})"

    async def call(self, call: Call) -> Attempt:
        """Read or patch the object, wait if that is asked for, and say what came of it."""
        progress = _Progress()
        try:
            with quiet():
                async with in_time(call, progress.may_have_happened):
                    return await self._attempt(call, progress)
        except TimeoutError:
            return self._lost(progress, f"no end in {call.timeout_ms} ms")
        except CannotFill as problem:
            return Failed(Kind.REFUSED, self._vault.hide(str(problem)), retry=False)
        except Exception as problem:  # noqa: BLE001  # the contract: whatever a library throws is an outcome
            return self._judge(problem, progress)

    async def close(self) -> None:
        """Let go of connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    # --- one attempt ------------------------------------------------------------------------------

    async def _attempt(self, call: Call, progress: _Progress) -> Attempt:
        binding = self._binding
        name = _name(fill_text(binding.name, call, self._vault), "name")
        namespace = None
        if binding.namespace is not None:
            namespace = _name(fill_text(binding.namespace, call, self._vault), "namespace")
        for condition in binding.until:
            for argument in condition.arguments():
                if argument not in call.args:
                    raise CannotFill(f"the call has no argument `{argument}`")
        if binding.body is None:
            found = await self._get(name, namespace)
        else:
            body = fill(binding.body, call, self._vault)
            _check_writable(body)
            found = await self._patch(name, namespace, body, progress)
        while binding.until:
            progress.waiting_for = next((why for one in binding.until if (why := unmet(one, found, call))), "")
            if not progress.waiting_for:
                break
            broken = await self._broken_pod(found)
            if broken is not None:
                return Failed(Kind.UNHEALTHY, self._vault.hide(broken), retry=False)
            await asyncio.sleep(binding.poll_s)
            found = await self._read_again(name, namespace, found)
        values, missing = extract(binding.result, found)
        if missing:
            return Failed(Kind.BAD_ANSWER, f"{binding.kind} {name} has no `{missing[0]}`", retry=False)
        return Answered(self._vault.hide_in(values))

    async def _get(self, name: str, namespace: str | None) -> dict[str, Any]:
        client = self._connected()
        return _plain(await client.get(self._resource, name, namespace=namespace))

    async def _patch(
        self, name: str, namespace: str | None, body: dict[str, Any], progress: _Progress
    ) -> dict[str, Any]:
        from lightkube.types import PatchType

        client = self._connected()
        kinds = {"strategic": PatchType.STRATEGIC, "merge": PatchType.MERGE, "apply": PatchType.APPLY}
        if self._binding.patch == "apply":
            version = "/".join(part for part in (self._binding.group, self._binding.version) if part)
            metadata = {**body.get("metadata", {}), "name": name}
            body = {"apiVersion": version, "kind": self._binding.kind, **body, "metadata": metadata}
        progress.patching = True
        found = await client.patch(
            self._resource,
            name,
            body,
            patch_type=kinds[self._binding.patch],
            field_manager=FIELD_MANAGER,
            namespace=namespace,
        )
        progress.patching, progress.patched = False, True
        return _plain(found)

    async def _read_again(self, name: str, namespace: str | None, before: dict[str, Any]) -> dict[str, Any]:
        """The object as it is now; as it was, when the API can't be asked for a moment: the deadline is the limit."""
        import httpx2

        try:
            return await self._get(name, namespace)
        except httpx2.HTTPStatusError as problem:
            if not _passing(problem.response.status_code):
                raise
        except httpx2.TransportError:
            pass
        return before

    async def _broken_pod(self, found: dict[str, Any]) -> str | None:
        """The first pod of the object that waits for a reason that means failure, and what it says."""
        import httpx2
        from lightkube.resources.core_v1 import Pod

        reasons = self._binding.fail_when_pod
        labels = _find(found, "spec.selector.matchLabels")
        seen, generation = _find(found, "status.observedGeneration"), _find(found, "metadata.generation")
        if not reasons or not isinstance(labels, dict) or (seen is not None and seen < generation):
            return None
        revision = _find(found, "status.updateRevision")
        if revision is not None:
            labels = {**labels, "controller-revision-hash": revision}
        namespace = _find(found, "metadata.namespace")
        try:
            async for pod in self._connected().list(Pod, namespace=namespace, labels=labels):
                broken = _why_broken(pod, reasons)
                if broken is not None:
                    return broken
        except httpx2.TransportError:
            pass  # It is asked again after the next reading.
        except httpx2.HTTPStatusError as problem:
            if not _passing(problem.response.status_code):
                raise
        return None

    def _connected(self) -> AsyncClient:
        if self._client is None:
            self._resource = _resource(self._binding)
            self._client = self._new_client()
        return self._client

    # --- what came of it --------------------------------------------------------------------------

    def _lost(self, progress: _Progress, text: str) -> Failed | Unknown:
        text = self._vault.hide(text)
        if progress.waiting_for:
            text = self._vault.hide(f"{text}: {progress.waiting_for}")
        if progress.may_have_happened():
            return Unknown(text)
        return Failed(Kind.UNAVAILABLE, text, retry=True)

    def _judge(self, problem: Exception, progress: _Progress) -> Attempt:
        import httpx2

        match problem:
            case httpx2.HTTPStatusError():
                status = problem.response.status_code
                text = self._vault.hide(f"{status}: {_message(problem)}")
                if progress.patched:
                    return self._lost(progress, text) if _passing(status) else Failed(Kind.REJECTED, text, retry=False)
                if status in _LOST and progress.patching:
                    return Unknown(text)
                if _passing(status):
                    return Failed(Kind.UNAVAILABLE, text, retry=True)
                return Failed(Kind.REJECTED, text, retry=False)
            case httpx2.ConnectError() | httpx2.ConnectTimeout() | httpx2.PoolTimeout() if not progress.patched:
                # Nothing has left.
                return Failed(Kind.UNAVAILABLE, self._vault.hide(_said(problem)), retry=True)
            case _:
                return self._lost(progress, _said(problem))


def _passing(status: int) -> bool:
    """Whether a status says that it may go better later."""
    return status >= 500 or status in _LATER


def _name(text: str, what: str) -> str:
    # The client puts it into a path as it is.
    if not _NAME.match(text):
        raise CannotFill(f"the {what} would not be one that Kubernetes allows")
    return text


def _check_writable(body: dict[str, Any]) -> None:
    """Raise where the client would, but before it looks as if something may have left."""
    try:
        msgspec.json.encode(body)
    except (UnicodeError, OverflowError, ValueError, RecursionError):
        raise CannotFill("an argument can't be written as a request") from None


def _plain(found: Any) -> dict[str, Any]:
    return dict(found.to_dict())


def _find(value: Any, path: str) -> Any:
    way = parse_path(path)
    assert way is not None, f"{path!r} is a path"
    try:
        return look_up(way, value)
    except Absent:
        return None


def _why_broken(pod: Any, reasons: frozenset[str]) -> str | None:
    if pod.metadata is None or pod.metadata.deletionTimestamp is not None or pod.status is None:
        return None
    for status in [*(pod.status.initContainerStatuses or ()), *(pod.status.containerStatuses or ())]:
        waiting = status.state.waiting if status.state else None
        if waiting is not None and waiting.reason in reasons:
            return ": ".join(part for part in (pod.metadata.name, waiting.reason, waiting.message) if part)
    return None


def _message(problem: Any) -> str:
    """What the API says of an error: the `Status` object's message, if it sent one."""
    status = getattr(problem, "status", None)
    return str(getattr(status, "message", None) or problem)


def _said(problem: Exception) -> str:
    return f"{type(problem).__name__}: {problem}" if str(problem) else type(problem).__name__


def _new_client(config: SingleConfig) -> AsyncClient:
    import httpx2
    from lightkube import AsyncClient

    return AsyncClient(config, timeout=httpx2.Timeout(None, connect=CONNECT_S), trust_env=False)


def _resource(binding: Binding) -> Any:
    """The kind as lightkube wants it."""
    # A class of our own: its registry would give a typed one, which drops the fields that it doesn't know.
    from lightkube.core.resource import ApiInfo, ResourceDef
    from lightkube.generic_resource import GenericGlobalResource, GenericNamespacedResource

    base = GenericGlobalResource if binding.cluster_scoped else GenericNamespacedResource
    defined = ResourceDef(binding.group, binding.version, binding.kind)
    info = ApiInfo(resource=defined, plural=binding.plural, verbs=["get", "patch"])
    return type(binding.kind, (base,), {"_api_info": info})


# --- settings -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Clusters:
    """The cluster that `[adapters.kubernetes]` names, read once for all tools that are bound to it."""

    table: Table
    _read: bool = field(default=False)
    _config: SingleConfig | None = field(default=None)

    def config(self) -> SingleConfig | None:
        """The connection's settings, or `None` when they have problems, which are then noted, once."""
        if not self._read:
            self._read = True
            self._config = _load(self.table)
            self.table.finish()
        return self._config


def _load(table: Table) -> SingleConfig | None:
    file, context, in_cluster = table.text("kubeconfig"), table.text("context"), table.flag("in_cluster")
    if in_cluster == (file is not None):
        what = "both `kubeconfig` and `in_cluster` are set" if in_cluster else "no cluster is named"
        table.note("", what, 'set `kubeconfig = "~/.kube/config"`, or `in_cluster = true`')
        return None
    try:
        from lightkube.config.kubeconfig import KubeConfig
        from lightkube.core.exceptions import ConfigError
    except ImportError:
        table.note("", "the Kubernetes client is not installed", "install `temper-blueprint[kubernetes]`")
        return None
    key = "in_cluster" if in_cluster else "kubeconfig"
    try:
        found = KubeConfig.from_service_account() if in_cluster else KubeConfig.from_file(str(file))
        config = found.get(context)
    except (ConfigError, KeyError) as problem:
        named = f"no `{problem.args[0]}`" if isinstance(problem, KeyError) else str(problem)
        table.note(key, f"it does not name a cluster: {named}", "check the file, and `context`")
        return None
    except Exception as problem:  # noqa: BLE001  # a parser's error may quote the file, so only its kind is told
        table.note(key, f"it can't be read ({type(problem).__name__})", "check that it is a kubeconfig")
        return None
    if config is None or config.user is None:
        table.note(key, "its context names no user", "add a `user` to the context")
        return None
    for value in (config.user.token, config.user.password):
        if value:
            table.vault.hide_also("kubeconfig", value)
    return config


def build(table: Table, clusters: Clusters) -> KubernetesAdapter | None:
    """Return the adapter that a table describes, or `None` when it, or the cluster's, has problems, which it notes."""
    before = len(table.problems)
    operation = table.one_of("operation", ("get", "patch"))
    kind = _kind(table)
    cluster_scoped = table.flag("cluster_scoped")
    namespace, name = table.template("namespace"), table.template("name", required=True)
    if cluster_scoped and namespace is not None:
        table.note("namespace", "a kind of the whole cluster has no namespace", "take one of the two out")
    body = _body(table, operation)
    patch = table.one_of("patch", ("strategic", "merge", "apply"), "strategic")
    until = _until(table)
    poll_ms = table.duration_ms("poll", POLL_MS)
    reasons = table.texts("fail_when_pod") or []
    if reasons and not table.raw.get("until"):
        table.note("fail_when_pod", "nothing is waited for", "say with `until` what is")
    result = table.results(answer="the object")
    table.finish()
    config = clusters.config()
    if len(table.problems) > before or config is None:
        return None
    assert kind is not None, "its absence is a problem"
    assert name is not None, "its absence is a problem"
    assert patch is not None, "it has a default"
    poll_s = max(poll_ms, 10) / 1000
    binding = Binding(*kind, cluster_scoped, namespace, name, body, patch, until, poll_s, frozenset(reasons), result)
    return KubernetesAdapter(binding, config, table.vault)


_KIND = re.compile(r"(?:([a-z0-9.-]+)/)?(v[a-z0-9]+)/([A-Z][A-Za-z0-9]*)\Z")


def _kind(table: Table) -> tuple[str, str, str, str] | None:
    text, plural = table.text("kind", required=True), table.text("plural")
    found = _KIND.match(text) if text else None
    if text and not found:
        table.note("kind", f"`{text}` is not `group/version/Kind`", "write `apps/v1/StatefulSet`, or `v1/Pod`")
    if plural and not re.fullmatch(r"[a-z0-9-]+", plural):
        table.note("plural", f"`{plural}` is not a name in a url of the API", "write it as in `statefulsets`")
    if found is None:
        return None
    group, version, kind = found.groups()
    return group or "", version, kind, plural or _plural(kind.lower())


def _plural(word: str) -> str:
    if word.endswith("y") and word[-2:-1] not in ("a", "e", "o", "u"):
        return f"{word[:-1]}ies"
    if word == "endpoints":
        return word
    return f"{word}es" if word.endswith(("s", "x", "ch", "sh")) else f"{word}s"


def _body(table: Table, operation: str | None) -> Fields | None:
    shape: Shape | None = table.shape("body", required=operation == "patch")
    if operation == "get" and shape is not None:
        table.note("body", "`get` sends no body", "take it out, or patch")
    if shape is not None and not isinstance(shape, Fields):
        table.note("body", "a patch is a table", "write `body = { spec = { ... } }`")
        return None
    if shape is not None and not isinstance(dict(shape.fields).get("metadata", Fields(())), Fields):
        table.note("body.metadata", "an object's metadata is a table", "write `metadata = { labels = { ... } }`")
    return shape if operation == "patch" else None


def _until(table: Table) -> tuple[Condition, ...]:
    found: list[Condition] = []
    for number, text in enumerate(table.texts("until") or []):
        key = f"until[{number}]"
        condition = parse_condition(text)
        if condition is None:
            table.note(key, f"`{text}` is not a condition", "write `status.readyReplicas == spec.replicas`")
            continue
        for name in condition.arguments():
            table.parsed(key, f"{{{name}}}")
        found.append(condition)
    return tuple(found)
