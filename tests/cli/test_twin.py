"""The twin: its controller with the clock moved by hand, its face as a process."""

from __future__ import annotations

import ast
import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest

import temper.cli.twin
from temper.cli.twin.patch import BadPatch, merge, strategic
from temper.cli.twin.statefulset import Crash, Slow, StatefulSet, new_spec, problem_in
from tests.cli.twin_process import RunningTwin, running_twin

SETS = "/apis/apps/v1/namespaces/streaming/statefulsets"
HELIX = f"{SETS}/helix"
PODS = "/api/v1/namespaces/streaming/pods"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

# --- the controller: time is a number ---------------------------------------------------------------------------------


def helix(replicas: int = 5) -> StatefulSet:
    """A set whose pods take 10 to get ready and 1 to end, and whose controller sees a patch after 0.5."""
    return StatefulSet(
        "helix",
        "streaming",
        new_spec("helix", "helix:v1", replicas),
        ready_after=10,
        end_after=1,
        observe_after=0.5,
        random=Random(0),
        epoch=0,
    )


def change(
    sets: StatefulSet, *, image: str | None = None, partition: int | None = None, replicas: int | None = None
) -> None:
    spec = sets.spec
    if image is not None:
        spec = strategic(spec, {"template": {"spec": {"containers": [{"name": "helix", "image": image}]}}})
    if partition is not None:
        spec = merge(spec, {"updateStrategy": {"rollingUpdate": {"partition": partition}}})
    if replicas is not None:
        spec = merge(spec, {"replicas": replicas})
    sets.replace_spec(spec)


def pods(sets: StatefulSet) -> str:
    """The pods in a line: version, `+` ready, `x` crashed, `~` on its way; `-` ending."""
    marks = {"ready": "+", "crashed": "x", "starting": "~", "ending": "-"}
    return " ".join(
        pod.template["spec"]["containers"][0]["image"].removeprefix("helix:") + marks[pod.phase.value]
        for _, pod in sorted(sets.pods.items())
    )


def test_pods_at_or_above_the_partition_are_updated_one_at_a_time_from_the_highest() -> None:
    sets = helix()
    change(sets, image="helix:v2", partition=3)
    seen: list[str] = []
    for tenth in range(400):
        sets.advance(tenth / 10)
        if not seen or seen[-1] != pods(sets):
            seen.append(pods(sets))
    assert seen == [
        "v1+ v1+ v1+ v1+ v1+",
        "v1+ v1+ v1+ v1+ v1-",
        "v1+ v1+ v1+ v1+ v2~",
        "v1+ v1+ v1+ v1- v2+",
        "v1+ v1+ v1+ v2~ v2+",
        "v1+ v1+ v1+ v2+ v2+",
    ]


def test_where_it_is_depends_on_the_time_and_not_on_how_often_it_is_asked() -> None:
    asked_often, asked_once = helix(), helix()
    for sets in (asked_often, asked_once):
        change(sets, image="helix:v2")
    for tenth in range(301):
        asked_often.advance(tenth / 10)
    asked_once.advance(30.0)
    assert asked_often.to_json() == asked_once.to_json()
    assert asked_often.pods_json() == asked_once.pods_json()


def test_status_counts_a_rollout_as_the_documentation_says() -> None:
    sets = helix()
    old = sets.current_revision
    change(sets, image="helix:v2", partition=3)
    sets.advance(0.4)
    before = sets.status()
    # The controller has not looked yet: its status still speaks of the old generation, as if nothing were to be done.
    assert (before["observedGeneration"], before["updatedReplicas"], before["updateRevision"]) == (1, 5, old)
    sets.advance(0.6)
    begun = sets.status()
    assert (begun["observedGeneration"], begun["readyReplicas"], "updatedReplicas" in begun) == (2, 4, False)
    sets.advance(100)
    halfway = sets.status()
    assert (halfway["updatedReplicas"], halfway["currentReplicas"], halfway["readyReplicas"]) == (2, 3, 5)
    assert (halfway["currentRevision"], halfway["updateRevision"]) == (old, sets.update_revision)
    change(sets, partition=0)
    sets.advance(200)
    done = sets.status()
    assert (done["updatedReplicas"], done["currentReplicas"]) == (5, 5)
    assert done["currentRevision"] == done["updateRevision"] != old


def test_a_broken_image_stops_the_rollout_where_it_is_until_the_image_is_changed_back() -> None:
    sets = helix()
    sets.crashes.append(Crash("helix:v2", 3, "image v2 is broken"))
    change(sets, image="helix:v2")
    sets.advance(1000)
    assert pods(sets) == "v1+ v1+ v1+ v2x v2+"
    state = sets.pods_json()[3]["status"]["containerStatuses"][0]["state"]
    assert state == {"waiting": {"reason": "CrashLoopBackOff", "message": "image v2 is broken"}}
    change(sets, image="helix:v1")
    sets.advance(2000)
    assert pods(sets) == "v1+ v1+ v1+ v1+ v1+"
    assert sets.status()["currentRevision"] == sets.status()["updateRevision"]


def test_a_pod_that_is_deleted_comes_back_in_the_revision_that_its_side_of_the_partition_has() -> None:
    sets = helix()
    change(sets, image="helix:v2", partition=4)
    sets.advance(100)
    sets.delete_pod(0)
    sets.delete_pod(4)
    assert pods(sets) == "v1- v1+ v1+ v1+ v2-"
    sets.advance(200)
    assert pods(sets) == "v1+ v1+ v1+ v1+ v2+"


def test_raising_the_partition_takes_nothing_back() -> None:
    sets = helix()
    change(sets, image="helix:v2", partition=3)
    sets.advance(100)
    change(sets, partition=5)
    sets.advance(200)
    assert pods(sets) == "v1+ v1+ v1+ v2+ v2+"


def test_with_on_delete_only_a_deleted_pod_is_updated() -> None:
    sets = helix(3)
    sets.replace_spec({**sets.spec, "updateStrategy": {"type": "OnDelete"}})
    change(sets, image="helix:v2")
    sets.advance(100)
    assert pods(sets) == "v1+ v1+ v1+"
    sets.delete_pod(1)
    sets.advance(200)
    assert pods(sets) == "v1+ v2+ v1+"


def test_scaling_makes_and_ends_pods() -> None:
    sets = helix(2)
    change(sets, replicas=4)
    sets.advance(5)
    assert pods(sets) == "v1+ v1+ v1~ v1~"
    sets.advance(20)
    change(sets, replicas=1)
    sets.advance(40)
    assert pods(sets) == "v1+"


def test_a_slow_pod_holds_the_others_back() -> None:
    sets = helix(2)
    sets.slows.append(Slow(1, 50))
    change(sets, image="helix:v2")
    sets.advance(60)
    assert pods(sets) == "v1+ v2~"
    sets.advance(62)
    assert pods(sets) == "v1- v2+"


# --- patches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "target", "patch", "expected"),
    [
        (merge, {"a": 1, "b": {"c": 2}}, {"b": {"d": 3}}, {"a": 1, "b": {"c": 2, "d": 3}}),
        (merge, {"a": 1, "b": 2}, {"b": None}, {"a": 1}),
        (merge, {"containers": [{"name": "x"}]}, {"containers": []}, {"containers": []}),
        (strategic, {"a": 1}, {"a": None, "b": 2}, {"b": 2}),
        (strategic, {"containers": [{"name": "x", "image": "1", "tty": True}, {"name": "y"}]},
         {"containers": [{"name": "x", "image": "2"}]},
         {"containers": [{"name": "x", "image": "2", "tty": True}, {"name": "y"}]}),
        (strategic, {"containers": [{"name": "x"}]}, {"containers": [{"name": "z"}]},
         {"containers": [{"name": "x"}, {"name": "z"}]}),
        (strategic, {"containers": [{"name": "x"}, {"name": "y"}]}, {"containers": [{"name": "x", "$patch": "delete"}]},
         {"containers": [{"name": "y"}]}),
        (strategic, {"a": {"b": 1, "c": 2}}, {"a": {"$patch": "replace", "d": 3}}, {"a": {"d": 3}}),
        # A list without a key is replaced.
        (strategic, {"args": ["a", "b"]}, {"args": ["c"]}, {"args": ["c"]}),
    ],
)  # fmt: skip
def test_patch(how: Any, target: Any, patch: Any, expected: Any) -> None:
    assert how(target, patch) == expected


@pytest.mark.parametrize("patch", [{"$retainKeys": ["a"]}, {"containers": [{"image": "no name"}]}])
def test_a_patch_that_makes_no_sense_is_refused(patch: Any) -> None:
    with pytest.raises(BadPatch):
        strategic({}, patch)


@pytest.mark.parametrize(
    ("patch", "where"),
    [
        ({"replicas": 3}, None),
        ({"replicas": -1}, "spec.replicas"),
        ({"replicas": "3"}, "spec.replicas"),
        ({"updateStrategy": {"rollingUpdate": {"partition": -1}}}, "spec.updateStrategy.rollingUpdate.partition"),
        ({"updateStrategy": {"rollingUpdate": "x"}}, "spec.updateStrategy.rollingUpdate.partition"),
        ({"updateStrategy": {"type": "Sideways"}}, "spec.updateStrategy"),
        ({"serviceName": "other"}, "spec"),
        ({"selector": None}, "spec"),
        ({"template": None}, "spec.template.spec.containers"),
        ({"template": {"spec": {"containers": [{"name": "helix"}]}}}, "spec.template.spec.containers[0].image"),
        ({"template": {"metadata": {"labels": {"app": "other"}}}}, "spec.template.metadata.labels"),
    ],
)  # fmt: skip
def test_problem_in(patch: Any, where: str | None) -> None:
    spec = new_spec("helix", "helix:v1", 5)
    found = problem_in(merge(spec, patch), spec)
    assert (found[0] if found else None) == where


# --- the process ------------------------------------------------------------------------------------------------------


@pytest.fixture
def twin() -> Iterator[RunningTwin]:
    with running_twin() as running:
        yield running


def patch(twin: RunningTwin, body: Any, content_type: str = MERGE, url: str = HELIX) -> httpx2.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return twin.client.patch(url, content=content, headers={"Content-Type": content_type})


TO_3 = {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 3}}}}


@pytest.mark.parametrize("content_type", [MERGE, STRATEGIC, f"{MERGE}; charset=utf-8"])
def test_a_patch_is_taken_and_logged(twin: RunningTwin, content_type: str) -> None:
    before = twin.client.get(HELIX).json()
    after = patch(twin, TO_3, content_type).json()
    assert after["spec"]["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 3}}
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1
    assert after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
    again = patch(twin, TO_3, content_type).json()
    assert again["metadata"]["generation"] == after["metadata"]["generation"]
    assert [(line["body"], line["changed"], line["status"]) for line in twin.patches()] == [
        (TO_3, True, 200),
        (TO_3, False, 200),
    ]


def test_apply_needs_a_field_manager_and_says_what_it_is(twin: RunningTwin) -> None:
    whole = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "helix"}, **TO_3}
    assert patch(twin, whole, APPLY).status_code == 422
    assert patch(twin, TO_3, APPLY, f"{HELIX}?fieldManager=t").status_code == 400
    assert patch(twin, whole, APPLY, f"{HELIX}?fieldManager=t").status_code == 200


def test_a_dry_run_changes_nothing(twin: RunningTwin) -> None:
    assert (
        patch(twin, TO_3, url=f"{HELIX}?dryRun=All").json()["spec"]["updateStrategy"]["rollingUpdate"]["partition"] == 3
    )
    assert twin.client.get(HELIX).json()["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("method", "url", "body", "content_type", "code", "reason"),
    [
        ("GET", f"{SETS}/nobody", None, MERGE, 404, "NotFound"),
        ("GET", "/apis/apps/v1/namespaces/other/statefulsets/helix", None, MERGE, 404, "NotFound"),
        ("GET", f"{PODS}/helix-9", None, MERGE, 404, "NotFound"),
        ("GET", "/apis/batch/v1/jobs", None, MERGE, 404, "NotFound"),
        ("PATCH", f"{SETS}/nobody", {}, MERGE, 404, "NotFound"),
        ("DELETE", HELIX, None, MERGE, 405, "MethodNotAllowed"),
        ("POST", SETS, {}, "application/json", 405, "MethodNotAllowed"),
        ("GET", f"{SETS}?watch=true", None, MERGE, 405, "MethodNotAllowed"),
        ("PATCH", HELIX, {"metadata": {"resourceVersion": "1"}}, MERGE, 409, "Conflict"),
        ("PATCH", HELIX, [], "application/json-patch+json", 415, "UnsupportedMediaType"),
        ("PATCH", HELIX, {"spec": {"replicas": -1}}, MERGE, 422, "Invalid"),
        ("PATCH", HELIX, {"metadata": {"labels": {"a": 1}}}, MERGE, 422, "Invalid"),
        ("PATCH", HELIX, {"metadata": {"name": "other"}}, MERGE, 400, "BadRequest"),
        ("PATCH", HELIX, [], MERGE, 400, "BadRequest"),
        ("PATCH", HELIX, {"spec": None}, MERGE, 422, "Invalid"),
        ("GET", f"{PODS}?labelSelector=((", None, MERGE, 400, "BadRequest"),
        ("POST", "/twin/faults", {"fault": "flood"}, MERGE, 422, "Invalid"),
        ("POST", "/twin/faults", {"fault": "crash"}, MERGE, 422, "Invalid"),
        ("POST", "/twin/faults", {"fault": "hang", "image": "x"}, MERGE, 422, "Invalid"),
    ],
)  # fmt: skip
def test_errors_are_status_objects(
    shared: RunningTwin, method: str, url: str, body: Any, content_type: str, code: int, reason: str
) -> None:
    content = None if body is None else json.dumps(body).encode()
    answer = shared.client.request(method, url, content=content, headers={"Content-Type": content_type})
    status = answer.json()
    assert (answer.status_code, status["kind"], status["code"], status["reason"]) == (code, "Status", code, reason)


def test_a_body_that_is_no_json_is_refused(shared: RunningTwin) -> None:
    assert patch(shared, b"{").status_code == 400


def test_without_the_token_there_is_no_answer(shared: RunningTwin) -> None:
    answer = httpx2.get(shared.url + HELIX, trust_env=False)
    assert (answer.status_code, answer.json()["reason"]) == (401, "Unauthorized")


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningTwin]:
    """One twin for the tests that leave it as it was."""
    with running_twin() as running:
        yield running


@pytest.mark.parametrize(
    ("selector", "ordinals"),
    [
        ("", [0, 1, 2, 3, 4]),
        ("app=helix", [0, 1, 2, 3, 4]),
        ("app==other", []),
        ("app!=helix", []),
        ("app=helix,apps.kubernetes.io/pod-index=3", [3]),
        ("apps.kubernetes.io/pod-index in (1, 2),app", [1, 2]),
        ("apps.kubernetes.io/pod-index notin (1,2),app=helix", [0, 3, 4]),
        ("!app", []),
    ],
)
def test_pods_are_chosen_by_label(shared: RunningTwin, selector: str, ordinals: list[int]) -> None:
    found = shared.client.get(PODS, params={"labelSelector": selector}).json()["items"]
    assert [int(pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"]) for pod in found] == ordinals


def test_discovery_is_enough_to_find_the_kinds(shared: RunningTwin) -> None:
    assert shared.client.get("/version").json()["major"] == "1"
    assert shared.client.get("/api").json()["versions"] == ["v1"]
    assert shared.client.get("/apis").json()["groups"][0]["name"] == "apps"
    assert shared.client.get("/apis/apps/v1").json()["resources"][0]["kind"] == "StatefulSet"
    assert shared.client.get(SETS).json()["items"][0]["metadata"]["name"] == "helix"


def test_requests_fail_as_asked_and_then_no_more(twin: RunningTwin) -> None:
    twin.fault("http500", count=2)
    assert [twin.client.get(HELIX).status_code for _ in range(3)] == [500, 500, 200]
    twin.fault("http500", method="PATCH")
    assert twin.client.get(HELIX).status_code == 200
    twin.fault("hang")
    assert twin.client.delete("/twin/faults").status_code == 204
    assert patch(twin, TO_3).status_code == 200


def test_a_hanging_request_gets_no_answer(twin: RunningTwin) -> None:
    twin.fault("hang")
    with pytest.raises(httpx2.ReadTimeout):
        twin.client.get(HELIX, timeout=0.1)
    assert twin.client.get(HELIX).status_code == 200


def test_a_dropped_patch_is_carried_out_and_not_answered(twin: RunningTwin) -> None:
    twin.fault("drop")
    with pytest.raises(httpx2.TransportError):
        patch(twin, TO_3)
    assert [(line["body"], line["changed"]) for line in twin.patches()] == [(TO_3, True)]
    assert twin.client.get(HELIX).json()["spec"]["updateStrategy"]["rollingUpdate"]["partition"] == 3


def test_it_ends_with_its_standard_input_and_leaves_nothing_behind() -> None:
    with running_twin() as twin:
        pass
    assert twin.process.returncode == 0
    assert not Path(twin.kubeconfig).exists()


def test_it_ends_with_sigterm_even_while_a_request_hangs() -> None:
    with running_twin() as twin:
        twin.fault("hang", method="DELETE")
        host, port = twin.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as waiting:
            token = twin.client.headers["Authorization"]
            waiting.sendall(f"DELETE {PODS}/helix-0 HTTP/1.1\r\nHost: twin\r\nAuthorization: {token}\r\n\r\n".encode())
            twin.client.get("/version")  # It has had its turn to read the other request.
            twin.process.send_signal(signal.SIGTERM)
            twin.process.wait(10)
    assert twin.process.returncode == 0
    assert not Path(twin.kubeconfig).exists()


def test_a_seed_gives_the_same_ids() -> None:
    uids = []
    for _ in range(2):
        with running_twin() as twin:
            uids.append([pod["metadata"]["uid"] for pod in twin.client.get(PODS).json()["items"]])
    assert uids[0] == uids[1]


def test_it_imports_no_room_of_ours() -> None:
    named: set[str] = set()
    for file in Path(temper.cli.twin.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                named.add(node.module or "")
            elif isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
    assert {name for name in named if name.startswith("temper")} == {
        "temper.cli.twin.api",
        "temper.cli.twin.patch",
        "temper.cli.twin.statefulset",
    }
