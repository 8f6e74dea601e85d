"""The secrets that the settings name: read from the environment, put into requests, taken out of every text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus


class Vault:
    """The secrets in use. Shows their names only, and hides their values in what comes from outside."""

    __slots__ = ("_environment", "_hidden", "_values")

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._values: dict[str, str] = {}
        self._hidden: list[tuple[str, str]] = []

    def __repr__(self) -> str:
        return f"Vault({', '.join(sorted(self._values))})"

    def has(self, name: str) -> bool:
        """Whether the environment has a secret of this name that is not empty. From now on it is hidden everywhere."""
        value = self._environment.get(name, "")
        if value and name not in self._values:
            self._values[name] = value
            self.hide_also(name, value)
        return bool(value)

    def reveal(self, name: str) -> str:
        """Return the secret itself, for a request and for nothing else."""
        return self._values[name]

    def hide_also(self, name: str, value: str) -> None:
        """Hide `value`, which came from elsewhere than the environment, under this name."""
        self._hidden += [(form, f"{{secret:{name}}}") for form in _forms(value)]
        # The longest first: a secret that holds another one is hidden whole.
        self._hidden.sort(key=lambda pair: -len(pair[0]))

    def hide(self, text: str) -> str:
        """Return `text` with each secret, in each form it may have taken on its way, replaced by its name."""
        for form, name in self._hidden:
            text = text.replace(form, name)
        return text

    def hide_in(self, value: Any) -> Any:
        """Return a JSON value with `hide` applied to each text in it, keys included."""
        match value:
            case str():
                return self.hide(value)
            case list():
                return [self.hide_in(element) for element in value]
            case dict():
                return {self.hide(key): self.hide_in(element) for key, element in value.items()}
            case _:
                return value


def _forms(value: str) -> Iterator[str]:
    """The secret as it is, as part of a URL, and as part of a JSON text. Each once."""
    escaped, ascii_only = (json.dumps(value, ensure_ascii=ensure)[1:-1] for ensure in (False, True))
    yield from dict.fromkeys((value, quote(value, safe=""), quote(value), quote_plus(value), escaped, ascii_only))
