"""What a patch makes of an object: RFC 7386's merge patch, and Kubernetes' strategic merge.

The real strategic merge reads from each type's Go tags by which key the elements of a list are told apart. The twin
knows the keys of a pod template's lists by the field's name, and replaces every other list, as the real one does with
lists that have no key. Of the `$`-directives it knows `$patch: delete` and `$patch: replace`; others are refused.
"""

from __future__ import annotations

from typing import Any

_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "ownerReferences": "uid",
}


class BadPatch(Exception):
    """The patch can't be applied, whatever the object is."""


def merge(target: Any, patch: Any) -> Any:
    """Return `target` with a merge patch (RFC 7386) applied: `null` removes, lists are replaced."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def strategic(target: Any, patch: Any, field: str = "") -> Any:
    """Return `target` with a strategic merge patch applied: lists with a known key are merged element by element."""
    if isinstance(patch, dict):
        return _strategic_object(target, patch)
    if isinstance(patch, list) and field in _KEYS:
        return _strategic_list(target if isinstance(target, list) else [], patch, _KEYS[field])
    return patch


def _strategic_object(target: Any, patch: dict[str, Any]) -> dict[str, Any]:
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    for key, value in patch.items():
        if key.startswith("$"):
            raise BadPatch(f"directive {key}: {value} has no place here")
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = strategic(merged.get(key), value, key)
    return merged


def _strategic_list(target: list[Any], patch: list[Any], key: str) -> list[Any]:
    merged = list(target)
    for element in patch:
        if not isinstance(element, dict) or key not in element:
            raise BadPatch(f"map: {element} does not contain declared merge key: {key}")
        place = next((n for n, old in enumerate(merged) if old.get(key) == element[key]), None)
        if element.get("$patch") == "delete":
            if place is not None:
                del merged[place]
        elif place is None:
            merged.append(strategic({}, element))
        else:
            merged[place] = strategic(merged[place], element)
    return merged
