"""The `kubernetes` adapter against the twin, which is a process of its own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from temper.runtime.tools import Adapter, Answered, Attempt, Call, Failed, Kind, Unknown, load_tools
from temper.runtime.vault import Vault
from tests.cli.twin_process import RunningTwin, running_twin

OBJECT = {"adapter": "kubernetes", "kind": "apps/v1/StatefulSet", "namespace": "streaming", "name": "{cluster}"}
SET_PARTITION = {
    **OBJECT,
    "operation": "patch",
    "body": {"spec": {"updateStrategy": {"rollingUpdate": {"partition": "{partition}"}}}},
    "until": [
        "status.observedGeneration >= metadata.generation",
        "status.updatedReplicas >= spec.replicas - {partition}",
        "status.readyReplicas == spec.replicas",
    ],
    "poll": "10ms",
    "fail_when_pod": ["CrashLoopBackOff", "ImagePullBackOff"],
    "result": {"ready": "status.readyReplicas"},
}
SET_IMAGE = {
    **OBJECT,
    "operation": "patch",
    "body": {"spec": {"template": {"spec": {"containers": [{"name": "{cluster}", "image": "{build}"}]}}}},
    "until": ["status.observedGeneration >= metadata.generation"],
    "poll": "10ms",
    "result": {"image": "spec.template.spec.containers[0].image"},
}
GET = {**OBJECT, "operation": "get", "result": {"image": "spec.template.spec.containers[0].image", "none": "nobody?"}}
TOOLS = {"kubernetes.set_partition": SET_PARTITION, "kubernetes.set_image": SET_IMAGE, "kubernetes.get": GET}


@pytest.fixture
def twin() -> Iterator[RunningTwin]:
    with running_twin() as running:
        yield running


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningTwin]:
    """One twin for the tests that mind neither its partition nor what was asked of it before."""
    with running_twin() as running:
        yield running


class Tools:
    """The tools of a cluster, called by their short names."""

    def __init__(self, adapters: Mapping[str, Adapter]) -> None:
        self.adapters = adapters

    async def call(self, tool: str, timeout_ms: int = 10_000, **args: Any) -> Attempt:
        call = Call("o-1", f"kubernetes.{tool}", {"cluster": "helix", **args}, 1, timeout_ms)
        return await self.adapters[call.tool].call(call)


@asynccontextmanager
async def tools_for(kubeconfig: str, **changes: Any) -> AsyncIterator[Tools]:
    bound = {name: {**binding, **changes} for name, binding in TOOLS.items()}
    settings = {"adapters": {"kubernetes": {"kubeconfig": kubeconfig}}, "tools": bound}
    adapters, problems = load_tools(settings, {}, Vault({}))
    assert problems == []
    try:
        yield Tools(adapters)
    finally:
        for adapter in adapters.values():
            await adapter.close()


@pytest.fixture
async def tools(twin: RunningTwin) -> AsyncIterator[Tools]:
    async with tools_for(twin.kubeconfig) as tools:
        yield tools


def images(twin: RunningTwin) -> list[str]:
    pods = twin.client.get("/api/v1/namespaces/streaming/pods").json()["items"]
    return [pod["spec"]["containers"][0]["image"] for pod in pods]


# --- a rollout --------------------------------------------------------------------------------------------------------


async def test_a_rollout_moves_broker_by_broker_and_each_answer_means_that_its_broker_is_ready(
    twin: RunningTwin, tools: Tools
) -> None:
    """Each call answers when the broker with its ordinal has the new image and all are ready, and not before."""
    assert await tools.call("set_partition", partition=5) == Answered({"ready": 5})
    assert await tools.call("set_image", build="helix:v2") == Answered({"image": "helix:v2"})
    assert images(twin) == ["helix:v1"] * 5
    for partition in (4, 3, 2, 1, 0):
        assert await tools.call("set_partition", partition=partition) == Answered({"ready": 5})
        assert images(twin) == ["helix:v1"] * partition + ["helix:v2"] * (5 - partition)
    bodies = [patch["body"]["spec"] for patch in twin.patches()]
    assert [body["updateStrategy"]["rollingUpdate"]["partition"] for body in bodies if "updateStrategy" in body] == [
        5, 4, 3, 2, 1, 0,
    ]  # fmt: skip


async def test_a_broker_that_crashes_fails_the_call_with_its_name_and_reason(twin: RunningTwin, tools: Tools) -> None:
    twin.fault("crash", image="helix:v2", ordinal=3, message="image v2 is broken")
    await tools.call("set_partition", partition=5)
    await tools.call("set_image", build="helix:v2")
    assert await tools.call("set_partition", partition=4) == Answered({"ready": 5})
    text = "helix-3: CrashLoopBackOff: image v2 is broken"
    assert await tools.call("set_partition", partition=3) == Failed(Kind.UNHEALTHY, text, retry=False)
    # Asked again, it says so again; nothing has changed.
    assert await tools.call("set_partition", partition=3) == Failed(Kind.UNHEALTHY, text, retry=False)


async def test_a_rollback_is_not_failed_by_the_pods_that_it_replaces(twin: RunningTwin, tools: Tools) -> None:
    twin.fault("crash", image="helix:v2", ordinal=3)
    await tools.call("set_image", build="helix:v2")
    assert isinstance(await tools.call("set_partition", partition=3), Failed)
    await tools.call("set_image", build="helix:v1")
    assert await tools.call("set_partition", partition=0) == Answered({"ready": 5})
    assert images(twin) == ["helix:v1"] * 5


@pytest.mark.parametrize("patch", ["strategic", "merge", "apply"])
async def test_each_kind_of_patch_is_taken(twin: RunningTwin, patch: str) -> None:
    async with tools_for(twin.kubeconfig) as plain:
        settings = {**SET_PARTITION, "patch": patch}
        adapters, problems = load_tools(
            {
                "adapters": {"kubernetes": {"kubeconfig": twin.kubeconfig}},
                "tools": {"kubernetes.set_partition": settings},
            },
            {},
            Vault({}),
        )
        assert problems == []
        async with _closing(adapters["kubernetes.set_partition"]):
            assert await Tools(adapters).call("set_partition", partition=5) == Answered({"ready": 5})
        assert await plain.call("get") == Answered({"image": "helix:v1", "none": None})
    [line] = twin.patches()
    assert patch in line["contentType"]


async def test_an_object_of_the_core_group_in_the_contexts_namespace(twin: RunningTwin) -> None:
    settings = {
        "adapter": "kubernetes",
        "operation": "get",
        "kind": "v1/Pod",
        "name": "{cluster}-0",
        "result": {"phase": "status.phase", "app": 'metadata.labels["apps.kubernetes.io/pod-index"]'},
    }
    adapters, problems = load_tools(
        {"adapters": {"kubernetes": {"kubeconfig": twin.kubeconfig}}, "tools": {"kubernetes.get": settings}},
        {},
        Vault({}),
    )
    assert problems == []
    async with _closing(adapters["kubernetes.get"]):
        assert await Tools(adapters).call("get") == Answered({"phase": "Running", "app": "0"})


@asynccontextmanager
async def _closing(adapter: Adapter) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await adapter.close()


async def test_a_patch_repeated_is_the_same_patch(twin: RunningTwin, tools: Tools) -> None:
    for _ in range(3):
        assert await tools.call("set_partition", partition=4) == Answered({"ready": 5})
    assert [line["changed"] for line in twin.patches()] == [True, False, False]


# --- what can go wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "details", "tool", "expected"),
    [
        # The patch: refused, unanswered, cut off after it was carried out.
        ("http500", {}, "set_partition", Failed(Kind.UNAVAILABLE, "500: the twin was asked to fail", retry=True)),
        ("hang", {}, "set_partition", Unknown("no end in 300 ms")),
        ("drop", {}, "set_partition", Unknown),
        # A reading changes nothing, so nothing can have happened.
        ("http500", {}, "get", Failed(Kind.UNAVAILABLE, "500: the twin was asked to fail", retry=True)),
        ("hang", {}, "get", Failed(Kind.UNAVAILABLE, "no end in 300 ms", retry=True)),
        ("drop", {"method": "GET"}, "get", Failed),
    ],
)
async def test_faults(shared: RunningTwin, fault: str, details: dict[str, Any], tool: str, expected: Any) -> None:
    async with tools_for(shared.kubeconfig) as tools:
        await _meet_a_fault(shared, tools, fault, details, tool, expected)


async def _meet_a_fault(
    twin: RunningTwin, tools: Tools, fault: str, details: dict[str, Any], tool: str, expected: Any
) -> None:
    patched = len(twin.patches())
    twin.fault(fault, **details)
    args = {"partition": 5} if tool == "set_partition" else {}
    answer = await tools.call(tool, timeout_ms=300, **args)
    assert isinstance(answer, expected) if isinstance(expected, type) else answer == expected
    if isinstance(answer, Failed):
        assert (answer.kind, answer.retry) == (Kind.UNAVAILABLE, True)
    if fault == "drop" and tool == "set_partition":
        assert len(twin.patches()) == patched + 1
    # The fault is used up: the next attempt goes through, whatever became of the first.
    assert isinstance(await tools.call(tool, **args), Answered)


async def test_a_reading_that_fails_while_waiting_is_made_again(twin: RunningTwin, tools: Tools) -> None:
    for fault in ("http500", "drop", "http500"):
        twin.fault(fault, method="GET")
    await tools.call("set_image", build="helix:v2")
    assert await tools.call("set_partition", partition=4) == Answered({"ready": 5})


async def test_conditions_that_do_not_come_true_in_time_leave_it_open_and_say_which(
    twin: RunningTwin, tools: Tools
) -> None:
    twin.fault("slow", ordinal=4, seconds=60)
    await tools.call("set_partition", partition=5)
    await tools.call("set_image", build="helix:v2")
    answer = await tools.call("set_partition", timeout_ms=400, partition=4)
    assert answer == Unknown("no end in 400 ms: `status.readyReplicas == spec.replicas` is `4 == 5`")


@pytest.mark.parametrize(
    ("tool", "args", "kind", "text"),
    [
        (
            "set_partition",
            {"cluster": "nobody", "partition": 1},
            Kind.REJECTED,
            '404: statefulsets.apps "nobody" not found',
        ),
        ("set_partition", {"partition": -1}, Kind.REJECTED, "422: "),
        ("set_partition", {}, Kind.REFUSED, "the call has no argument `partition`"),
        ("set_partition", {"partition": "\ud800"}, Kind.REFUSED, "an argument can't be written as a request"),
        ("get", {"cluster": "../../pods"}, Kind.REFUSED, "the name would not be one that Kubernetes allows"),
        ("get", {"cluster": ""}, Kind.REFUSED, "the name would not be one that Kubernetes allows"),
        ("get", {"cluster": "a?b"}, Kind.REFUSED, "the name would not be one that Kubernetes allows"),
    ],
)
async def test_what_is_refused(shared: RunningTwin, tool: str, args: dict[str, Any], kind: Kind, text: str) -> None:
    """The rejected ones were asked of the API; of the refused ones nothing left."""
    before = len(shared.patches())
    async with tools_for(shared.kubeconfig) as tools:
        answer = await tools.call(tool, **args)
    assert isinstance(answer, Failed)
    assert (answer.kind, answer.retry) == (kind, False)
    assert answer.text.startswith(text)
    assert len(shared.patches()) - before == (1 if kind is Kind.REJECTED else 0)


async def test_an_argument_that_only_a_condition_needs_is_missed_before_anything_is_sent(twin: RunningTwin) -> None:
    async with tools_for(twin.kubeconfig, until=["status.readyReplicas == {n}"]) as tools:
        answer = await tools.call("set_partition", partition=5)
    assert answer == Failed(Kind.REFUSED, "the call has no argument `n`", retry=False)
    assert twin.patches() == []


async def test_a_result_that_is_not_there_is_a_bad_answer(twin: RunningTwin) -> None:
    async with tools_for(twin.kubeconfig, result={"x": "status.nobody"}) as tools:
        answer = await tools.call("get")
    assert answer == Failed(Kind.BAD_ANSWER, "StatefulSet helix has no `status.nobody`", retry=False)


async def test_where_nobody_listens_nothing_has_happened() -> None:
    with running_twin() as twin:
        async with tools_for(twin.kubeconfig) as tools:
            twin.process.terminate()
            twin.process.wait(10)
            answer = await tools.call("set_partition", partition=1)
    assert isinstance(answer, Failed)
    assert (answer.kind, answer.retry) == (Kind.UNAVAILABLE, True)


async def test_a_cluster_that_goes_while_it_is_waited_for_leaves_it_open() -> None:
    with running_twin() as twin:
        twin.fault("slow", seconds=60)
        async with tools_for(twin.kubeconfig) as tools:
            await tools.call("set_image", build="helix:v2")
            running = asyncio.create_task(tools.call("set_partition", timeout_ms=800, partition=4))
            deadline = time.monotonic() + 5
            while len(await asyncio.to_thread(twin.patches)) < 2 and time.monotonic() < deadline:
                pass
            twin.process.kill()
            assert isinstance(await running, Unknown)


# --- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [None, "http500", "hang", "drop"])
async def test_the_clusters_token_is_in_no_text_that_comes_out(
    shared: RunningTwin, fault: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    token = shared.token
    for name in ("", "httpx2", "httpcore2", "httpcore2.connection", "httpcore2.http11", "lightkube"):
        caplog.set_level(logging.DEBUG, name)
    if fault:
        shared.fault(fault)
    # The argument is the token: the API's complaint quotes it.
    async with tools_for(shared.kubeconfig) as tools:
        answers = [
            await tools.call("get", timeout_ms=300, cluster=token),
            await tools.call("set_partition", timeout_ms=300, partition=token),
        ]
        adapter = tools.adapters["kubernetes.get"]
        texts = [*map(repr, answers), repr(adapter), repr(vars(adapter)), caplog.text]
    shared.client.delete("/twin/faults")
    assert [text for text in texts if token in text] == []


async def test_an_answer_that_quotes_the_token_is_cleaned(twin: RunningTwin, tools: Tools) -> None:
    token = twin.token
    answer = await tools.call("set_image", build=token)
    assert answer == Answered({"image": "{secret:kubeconfig}"})
