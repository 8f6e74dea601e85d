"""Properties as the formatter writes them: the names that reports know them by."""

from __future__ import annotations

from typing import Any

from temper.syntax import format_expression, tree


def property_text(node: tree.Property) -> str:
    """Return the property on one line, without its title and its assumptions."""
    match node:
        case tree.Always(_, condition):
            return f"always {_text(condition)}"
        case tree.Eventually(_, froms, to):
            return f"eventually {_states(froms)} leads to {_states(to)}"
        case tree.Never(_, role, states):
            return f"never {role.text} enters {_states(states)}"
        case tree.CanReach(_, states):
            return f"can reach {_states(states)}"
        case tree.Needs():
            return _needs(node)


def _needs(node: tree.Needs) -> str:
    words = [_state(node.state), "needs", _text(node.count)]
    if node.role is not None:
        words += ["of", node.role.text]
    if node.by:
        words += ["by", _names(node.by)]
    if node.besides is not None:
        words += ["besides", node.besides.text]
    if node.since:
        words += ["since", _names(node.since)]
    return " ".join(words)


def _state(state: tree.StateName) -> str:
    return state.state.text if state.entity is None else f"{state.entity.text}.{state.state.text}"


def _states(states: tuple[tree.StateName, ...]) -> str:
    return ", ".join(map(_state, states))


def _names(names: tuple[tree.Name, ...]) -> str:
    return ", ".join(name.text for name in names)


def _text(expr: tree.Expr) -> str:
    return format_expression(expr) if _readable(expr) else "..."


def _readable(part: Any) -> bool:
    """Return whether nothing inside could not be read; such an expression has no text."""
    if isinstance(part, tree.BadExpr | tree.BadType):
        return False
    if isinstance(part, tuple):
        return all(map(_readable, part))
    if isinstance(part, tree.Node):
        return all(_readable(getattr(part, name)) for name in part.__struct_fields__)
    return True
