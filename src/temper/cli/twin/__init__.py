"""A twin of the part of the Kubernetes API that runs StatefulSets, as a process of its own.

In:    HTTP on loopback, at the real API's paths; faults at `/twin/faults`.
Out:   what a cluster with one StatefulSet would answer, as time goes by.
Never: any room of ours: it stands for the outside, so it knows nothing of blueprints.

`python -m temper.cli.twin` runs it; what it prints first says where it listens.
"""

from __future__ import annotations

__all__: list[str] = []
