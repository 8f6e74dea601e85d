"""One StatefulSet and its pods, as they would be at a given moment.

The controller's rules are those of the documentation of StatefulSets ("Rolling Updates", "Partitioned rolling
updates"): pods with an ordinal at or above the partition are updated, one at a time, from the highest ordinal down,
and each waits until the one before it is Running and Ready. Pods below the partition keep their revision. A pod that
is created again gets the new revision if its ordinal is at or above the partition, else the current one. Status is
counted as `stateful_set_control.go` counts it; once every pod is updated and ready, the current revision becomes the
update revision.

Where the twin differs from the real controller, on purpose:

* With `OrderedReady`, a pod that never gets ready blocks the real rollout even after its template is mended, until
  somebody deletes the pod ("Forced rollback" in the documentation). The twin replaces a pod of a wrong revision
  without waiting for it to get ready first, so a revert proceeds by itself. Deleting the pod by hand works too.
* Pods are made and ended in a set time, all at once when the set is scaled; a crashed container is not started again.

Time is data: `advance(now)` brings the set to `now`, step by step, and is the only thing that moves it. So a test
moves a number, and the server asks its clock once a request.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from random import Random
from typing import Any

SPEC_MUTABLE = ("replicas", "template", "updateStrategy", "minReadySeconds", "revisionHistoryLimit", "ordinals")


class Phase(Enum):
    """Where a pod is in its life."""

    STARTING = "starting"
    READY = "ready"
    CRASHED = "crashed"
    ENDING = "ending"


@dataclass(slots=True)
class Pod:
    """One pod: which template it was made from, and how far it is."""

    ordinal: int
    uid: str
    revision: str
    template: dict[str, Any]
    made_at: float
    phase: Phase
    until: float  # When the phase ends; infinite for those that last.
    crash: str | None = None  # What the kubelet says of the crash.


@dataclass(frozen=True, slots=True)
class Crash:
    """An image that crashes: on one ordinal, or on every one."""

    image: str
    ordinal: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Slow:
    """Pods that take `seconds` more to get ready: one ordinal, or every one."""

    ordinal: int | None
    seconds: float


@dataclass(slots=True)
class StatefulSet:
    """A StatefulSet, its controller and its pods, at the moment of the last `advance`."""

    name: str
    namespace: str
    spec: dict[str, Any]
    ready_after: float
    end_after: float
    observe_after: float
    random: Random
    epoch: float  # The wall clock's seconds at `now == 0`, for the stamps that clients read.
    now: float = 0.0
    uid: str = ""
    generation: int = 1
    observed: int = 0
    observe_at: float = 0.0
    version: int = 1000
    pods: dict[int, Pod] = field(default_factory=dict)
    current_revision: str = ""
    revisions: dict[str, dict[str, Any]] = field(default_factory=dict)
    crashes: list[Crash] = field(default_factory=list)
    slows: list[Slow] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with every pod ready, as a set that has been there for a while."""
        self.uid = self._new_uid()
        self.labels = {"app": self.name}
        self.current_revision = self.update_revision
        self.revisions[self.current_revision] = self.spec["template"]
        self.observed = self.generation
        for ordinal in range(self.spec["replicas"]):
            pod = self._make(ordinal)
            pod.phase, pod.until = Phase.READY, math.inf
            self.pods[ordinal] = pod

    @property
    def update_revision(self) -> str:
        """The template's revision. The same template has the same revision, so a revert finds it again."""
        text = json.dumps(self.spec["template"], sort_keys=True)
        return f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"

    @property
    def partition(self) -> int:
        """The least ordinal that belongs to the update revision."""
        rolling: dict[str, Any] = self.spec["updateStrategy"].get("rollingUpdate") or {}
        partition: int = rolling.get("partition", 0)
        return partition

    def advance(self, now: float) -> None:
        """Let everything happen that is due by `now`, in the order in which it falls due."""
        self._control()
        while (due := self._next_due()) <= now:
            self.now = max(self.now, due)
            self._kubelet()
            self._control()
        self.now = max(self.now, now)

    def replace_spec(self, spec: dict[str, Any]) -> None:
        """Take a new spec. The controller sees it a little later, as a real one does."""
        self.spec = spec
        self.generation += 1
        self.observe_at = self.now + self.observe_after
        self.touch()

    def delete_pod(self, ordinal: int) -> None:
        """End one pod; the controller makes it again."""
        pod = self.pods[ordinal]
        if pod.phase is not Phase.ENDING:
            self._end(pod)

    def touch(self) -> None:
        """Give the object a new resource version."""
        self.version += 1

    def status(self) -> dict[str, Any]:
        """The status as the controller last wrote it. The real API leaves some zeros out, so we do."""
        alive = [pod for pod in self.pods.values() if pod.phase is not Phase.ENDING]
        ready = sum(pod.phase is Phase.READY for pod in alive)
        current = sum(pod.revision == self.current_revision for pod in alive)
        updated = sum(pod.revision == self._observed_update for pod in alive)
        counts = {"readyReplicas": ready, "currentReplicas": current, "updatedReplicas": updated}
        return {
            "observedGeneration": self.observed,
            "replicas": len(self.pods),
            "availableReplicas": ready,
            **{name: count for name, count in counts.items() if count},
            "currentRevision": self.current_revision,
            "updateRevision": self._observed_update,
            "collisionCount": 0,
        }

    @property
    def _observed_update(self) -> str:
        # Until the controller has seen a new template, its status speaks of the one before.
        return self.update_revision if self.observed == self.generation else next(reversed(self.revisions))

    def _next_due(self) -> float:
        due = [pod.until for pod in self.pods.values()]
        if self.observed < self.generation:
            due.append(self.observe_at)
        return min(due, default=math.inf)

    def _kubelet(self) -> None:
        """Move on each pod whose phase is over."""
        for ordinal, pod in sorted(self.pods.items()):
            if pod.until > self.now:
                continue
            self.touch()
            if pod.phase is Phase.ENDING:
                del self.pods[ordinal]
            elif pod.crash is not None:
                pod.phase, pod.until = Phase.CRASHED, math.inf
            else:
                pod.phase, pod.until = Phase.READY, math.inf

    def _control(self) -> None:
        """One pass of the controller: make what is missing, end what is too many, update one pod, close the rollout."""
        if self.observed < self.generation:
            if self.observe_at > self.now:
                return
            self.observed = self.generation
            self.revisions.pop(self.update_revision, None)
            self.revisions[self.update_revision] = self.spec["template"]
            self.touch()
        replicas: int = self.spec["replicas"]
        for ordinal in range(replicas):
            if ordinal not in self.pods:
                self.pods[ordinal] = self._make(ordinal)
                self.touch()
        for ordinal, pod in self.pods.items():
            if ordinal >= replicas and pod.phase is not Phase.ENDING:
                self._end(pod)
        self._update(replicas)

    def _update(self, replicas: int) -> None:
        if self.spec["updateStrategy"]["type"] == "OnDelete":
            return
        for ordinal in range(replicas - 1, self.partition - 1, -1):
            pod = self.pods[ordinal]
            if pod.revision != self.update_revision and pod.phase is not Phase.ENDING:
                self._end(pod)
                return
            if pod.phase is not Phase.READY:
                return
        pods = self.pods.values()
        if all(pod.revision == self.update_revision and pod.phase is Phase.READY for pod in pods):
            self.current_revision = self.update_revision

    def _make(self, ordinal: int) -> Pod:
        revision = self.update_revision if ordinal >= self.partition else self.current_revision
        template = self.spec["template"] if revision == self.update_revision else self.revisions[revision]
        image = template["spec"]["containers"][0]["image"]
        crash = next((c for c in self.crashes if c.image == image and c.ordinal in (None, ordinal)), None)
        slow = sum(s.seconds for s in self.slows if s.ordinal in (None, ordinal))
        return Pod(
            ordinal,
            self._new_uid(),
            revision,
            template,
            made_at=self.now,
            phase=Phase.STARTING,
            until=self.now + self.ready_after + slow,
            crash=crash.message if crash else None,
        )

    def _end(self, pod: Pod) -> None:
        pod.phase, pod.until = Phase.ENDING, self.now + self.end_after
        self.touch()

    def _new_uid(self) -> str:
        raw = f"{self.random.getrandbits(128):032x}"
        return f"{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-a{raw[17:20]}-{raw[20:]}"

    # --- as the API shows it ----------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """The object, as a client reads it."""
        return {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "uid": self.uid,
                "resourceVersion": str(self.version),
                "generation": self.generation,
                "creationTimestamp": self._stamp(0.0),
                "labels": self.labels,
                **({"annotations": self.annotations} if self.annotations else {}),
            },
            "spec": self.spec,
            "status": self.status(),
        }

    def pods_json(self) -> list[dict[str, Any]]:
        """The pods, by ordinal."""
        return [self._pod_json(pod) for _, pod in sorted(self.pods.items())]

    def _pod_json(self, pod: Pod) -> dict[str, Any]:
        name = f"{self.name}-{pod.ordinal}"
        container = pod.template["spec"]["containers"][0]
        ready = pod.phase is Phase.READY
        state: dict[str, Any] = {"running": {"startedAt": self._stamp(pod.made_at)}}
        if pod.phase is Phase.STARTING:
            state = {"waiting": {"reason": "ContainerCreating"}}
        elif pod.phase is Phase.CRASHED:
            state = {"waiting": {"reason": "CrashLoopBackOff", "message": pod.crash}}
        ending = {"deletionTimestamp": self._stamp(pod.until)} if pod.phase is Phase.ENDING else {}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "uid": pod.uid,
                "resourceVersion": str(self.version),
                "creationTimestamp": self._stamp(pod.made_at),
                "labels": {
                    **pod.template["metadata"]["labels"],
                    "apps.kubernetes.io/pod-index": str(pod.ordinal),
                    "controller-revision-hash": pod.revision,
                    "statefulset.kubernetes.io/pod-name": name,
                },
                "ownerReferences": [
                    {
                        "apiVersion": "apps/v1",
                        "kind": "StatefulSet",
                        "name": self.name,
                        "uid": self.uid,
                        "controller": True,
                        "blockOwnerDeletion": True,
                    }
                ],
                **ending,
            },
            "spec": {**pod.template["spec"], "hostname": name},
            "status": {
                "phase": "Pending" if pod.phase is Phase.STARTING else "Running",
                "startTime": self._stamp(pod.made_at),
                "conditions": [
                    {"type": "PodScheduled", "status": "True"},
                    {"type": "Ready", "status": "True" if ready else "False"},
                ],
                "containerStatuses": [
                    {
                        "name": container["name"],
                        "image": container["image"],
                        "imageID": "",
                        "ready": ready,
                        "started": pod.phase is not Phase.STARTING,
                        "restartCount": 1 if pod.phase is Phase.CRASHED else 0,
                        "state": state,
                    }
                ],
            },
        }

    def _stamp(self, at: float) -> str:
        return datetime.fromtimestamp(math.floor(self.epoch + at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_spec(name: str, image: str, replicas: int) -> dict[str, Any]:
    """The spec of a set of one container, with the defaults that the real API fills in."""
    return {
        "replicas": replicas,
        "serviceName": name,
        "podManagementPolicy": "OrderedReady",
        "revisionHistoryLimit": 10,
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": name, "image": image, "ports": [{"containerPort": 9092}]}]},
        },
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
    }


def problem_in(spec: Any, before: dict[str, Any]) -> tuple[str, str] | None:
    """Return what is wrong with a patched spec as (field, message), or `None`."""
    if not isinstance(spec, dict):
        return "spec", "Required value"
    for key in sorted({*spec, *before}):
        if key not in SPEC_MUTABLE and spec.get(key) != before.get(key):
            return "spec", (
                "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
                "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
                "'minReadySeconds' are forbidden"
            )
    if not _whole(spec.get("replicas")):
        return "spec.replicas", f"Invalid value: {json.dumps(spec.get('replicas'))}: must be greater than or equal to 0"
    strategy = spec.get("updateStrategy")
    if not isinstance(strategy, dict) or strategy.get("type") not in ("RollingUpdate", "OnDelete"):
        return "spec.updateStrategy", "Invalid value: must be 'RollingUpdate' or 'OnDelete'"
    rolling = strategy.get("rollingUpdate") or {}
    partition = rolling.get("partition", 0) if isinstance(rolling, dict) else rolling
    if not _whole(partition):
        where = "spec.updateStrategy.rollingUpdate.partition"
        return where, f"Invalid value: {json.dumps(partition)}: must be greater than or equal to 0"
    return _problem_in_template(spec)


def _problem_in_template(spec: dict[str, Any]) -> tuple[str, str] | None:
    template = _table(spec.get("template"))
    containers = _table(template.get("spec")).get("containers")
    if not isinstance(containers, list) or not containers:
        return "spec.template.spec.containers", "Required value"
    for number, container in enumerate(containers):
        where = f"spec.template.spec.containers[{number}]"
        for key in ("name", "image"):
            value = _table(container).get(key)
            if not isinstance(value, str) or not value.strip():
                return f"{where}.{key}", "Required value"
    labels = _table(_table(template.get("metadata")).get("labels"))
    if any(labels.get(key) != value for key, value in spec["selector"]["matchLabels"].items()):
        return "spec.template.metadata.labels", "Invalid value: `selector` does not match template `labels`"
    return None


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
