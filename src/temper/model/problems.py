"""The problems found so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from temper.text import Code, Diagnostic, Fix, Label, Span, suggest


class Problems(Struct):
    """Takes problems as they are found."""

    found: list[Diagnostic] = field(default_factory=list)
    _seen: set[tuple[Code, Span, str]] = field(default_factory=set)

    def add(
        self,
        code: Code,
        span: Span,
        message: str,
        *,
        label: str = "",
        help: str | None = None,
        fix: Fix | None = None,
        beside: Iterable[tuple[Span, str]] = (),
    ) -> None:
        """Add one problem; the same at the same place is told once."""
        if (code, span, message) in self._seen:
            return
        self._seen.add((code, span, message))
        secondary = tuple(Label(place, text) for place, text in beside if place.file)
        self.found.append(Diagnostic(code, message, Label(span, label), secondary, help, fix))

    def unknown(
        self,
        code: Code,
        span: Span,
        what: str,
        word: str,
        known: Mapping[str, Span | None],
        *,
        owner: str = "",
        help: str | None = None,
    ) -> None:
        """Add "unknown WHAT `word`", with the nearest of the `known` names where one is near."""
        message = f"unknown {what} `{word}`" + (f" in {owner}" if owner else "")
        near = suggest(word, known)
        if near is None:
            if help is None and known:
                help = f"known: {listed(known)}"
            self.add(code, span, message, label="not declared", help=help)
            return
        place = known[near]
        self.add(
            code,
            span,
            message,
            label="not declared",
            help=f"did you mean `{near}`?",
            fix=Fix(span, near),
            beside=() if place is None else ((place, "a similar name"),),
        )

    def sorted(self) -> tuple[Diagnostic, ...]:
        """Return what was found, in the order of the text."""
        return tuple(sorted(self.found, key=lambda found: (found.primary.span, found.code.name)))


def listed(names: Iterable[str], limit: int = 8) -> str:
    """Return the names in backticks, with commas; the first few where there are many."""
    all_names = list(names)
    shown = ", ".join(f"`{name}`" for name in all_names[:limit])
    return shown + (", ..." if len(all_names) > limit else "")


def either(names: Iterable[str]) -> str:
    """Return the names in backticks as a choice: `a`, `b` or `c`."""
    quoted = [f"`{name}`" for name in names]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + f" or {quoted[-1]}"
