"""A bundle's `*.cedar` files, read: their policies, and what is wrong with them, at its place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from temper.runtime.cedar.engine import UNFINISHED, CannotParse, Checker, form_of, laid_out
from temper.runtime.cedar.looks import nodes
from temper.runtime.cedar.needless import Needless, needless
from temper.runtime.cedar.pieces import Bad, Piece, Token, cut, text_of, words_of
from temper.runtime.cedar.reasons import ERRS, Budget, Path, Reading, possible, read, states
from temper.runtime.cedar.schema import creates, schema
from temper.table import Policy, Table, cedar
from temper.text import Code, Diagnostic, Label, Source, Span, suggest

Json: TypeAlias = Any

# Each is asked about its own actions alone, so that many cost little; but somebody has to know them all.
POLICIES_MAX = 2_000
# Of one file's findings, those that are looked for in its text to the word; the rest are shown at their policy.
NARROWED_MAX = 20
# Places at which a word that is not expected is looked for: each is a text to parse.
TRIED_MAX = 100

# What Cedar's validator says of what we know better.
_ACTION = re.compile(r"unrecognized action `(?P<name>.+::Action::\"(?P<id>.*)\")`")
_TYPE = re.compile(r"unrecognized entity type `(?P<name>[^`]+)`")
_ROLE = re.compile(r"entity `(?P<name>[^`]+::Role::\"(?P<id>[^`]*)\")` is of an enumerated")
_ATTRIBUTE = re.compile(r"attribute `(?P<name>[^`]+)` (?P<owner>.+) not found")
_OPTIONAL = re.compile(r"safety of access to (?:optional )?(?P<kind>attribute|tag) `(?P<name>[^`]+)`")
_NOWHERE = "unable to find an applicable action"


@dataclass(frozen=True, slots=True)
class Policies:
    """What files say. `places` are those of the policies' sites: file, start and end."""

    policies: tuple[Policy, ...]
    places: Mapping[str, tuple[str, int, int]]
    problems: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True)
class _Read:
    """A policy that Cedar's parser takes."""

    piece: Piece
    form: Json
    policy: Policy


def read_policies(sources: Iterable[Source], table: Table | None) -> Policies:
    """Return the policies of these files, in the order of the files and then of their text, with all that is wrong.

    Without a `table`, since the blueprint is broken, what they say is not checked against it.
    """
    reading = _Reading()
    for source in sources:
        reading.file(source)
    if table is not None:
        reading.problems += _Checking(table, reading.read).problems()
    return reading.policies()


def _place(span: Span) -> tuple[str, int, int]:
    return span.file, span.start, span.end


# --- parsing ----------------------------------------------------------------------------------------------------------


class _Reading:
    def __init__(self) -> None:
        self.read: list[_Read] = []
        self.problems: list[Diagnostic] = []
        self._ids: dict[str, Span] = {}
        self._seen = 0

    def policies(self) -> Policies:
        places = {each.policy.site: _place(each.piece.span) for each in self.read}
        return Policies(tuple(each.policy for each in self.read), places, tuple(self.problems))

    def file(self, source: Source) -> None:
        for number, piece in enumerate(cut(source), 1):
            self._seen += 1
            if self._seen > POLICIES_MAX:
                if self._seen == POLICIES_MAX + 1:
                    text = f"there are more than {POLICIES_MAX:,} policies"
                    self._say(Code.B812, text, piece.span, "one too many", "join those that differ by a value alone")
                return
            self._piece(f"{source.name}/{number}", piece)

    def _piece(self, name: str, piece: Piece | Bad) -> None:
        if isinstance(piece, Bad):
            code = Code.B812 if piece.large else Code.B811
            help = "cut it into several policies" if piece.large else None
            self._say(code, piece.text, piece.span, "here", help)
            return
        try:
            form, template = form_of(piece.text)
        except CannotParse as problem:
            self._unread(piece, problem.text)
            return
        if template:
            slot = next(each for each in piece.tokens if each.text.startswith("?"))
            help = 'name whom it means, or a role: `principal in temper::Role::"operator"`'
            self._say(Code.B819, f"`{slot.text}` leaves open whom the policy means", slot.span, "a slot", help)
            return
        annotations = form.get("annotations", {})
        id = annotations.get("id") or name
        known = self._ids.get(id)
        if known is not None:
            at = _annotation(piece, "id") or piece.effect.span
            self.problems.append(
                Diagnostic(
                    Code.B818,
                    f"two policies are called `{id}`",
                    Label(at, "the second"),
                    (Label(known, "the first"),),
                    help="an `@id` names one policy: give this another",
                )
            )
            return
        self._ids[id] = piece.span
        policy = Policy(
            id=id,
            site=f"policy/{id}",
            effect=form["effect"],
            text=laid_out(piece.text),
            form=_canonical(form),
            otherwise=annotations.get("else"),
        )
        self.read.append(_Read(piece, form, policy))

    def _unread(self, piece: Piece, text: str) -> None:
        if text == UNFINISHED and not piece.whole:
            last = piece.tokens[-1].span
            self._say(
                Code.B811, "the last policy has no end", last, "something is missing after this", "end it with `;`"
            )
            return
        found = _offender(piece, text) if text.startswith("unexpected") else None
        if found is None:
            quoted = _quoted(text)
            at = piece.find(*words_of(quoted)) if quoted else None
            self._say(Code.B811, text, at or piece.effect.span, "this policy can't be read", None)
        else:
            self._say(Code.B811, text, found, "not expected here", None)

    def _say(self, code: Code, message: str, span: Span, label: str, help: str | None) -> None:
        self.problems.append(Diagnostic(code, message, Label(span, label), help=help))


def _canonical(form: Json) -> str:
    return json.dumps(form, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _annotation(piece: Piece, name: str) -> Span | None:
    """Where an annotation stands."""
    at = piece.find("@", name, "(")
    if at is None:
        return piece.find("@", name)
    closing = next((each.span for each in piece.tokens if each.text == ")" and each.span.start >= at.end), at)
    return at.to(closing)


def _offender(piece: Piece, text: str) -> Span | None:
    """Where the word stands that Cedar's parser can't take: the first of its kind after which it says so.

    It says so of what comes before, too, once it has the rest: its recovery tells the last of them.
    """
    word = _quoted(text)
    places = [at for at, token in enumerate(piece.tokens) if token.text == word][:TRIED_MAX]
    for at in places:
        try:
            form_of(text_of(piece.tokens[: at + 1]))
        except CannotParse as problem:
            if problem.text == text:
                return piece.tokens[at].span
    return piece.tokens[places[-1]].span if places else None


def _quoted(text: str) -> str | None:
    found = re.search(r"`([^`]+)`", text)
    return found[1] if found else None


# --- checking ---------------------------------------------------------------------------------------------------------


class _Checking:
    """What is wrong with policies that can be read, by the table that they belong to."""

    def __init__(self, table: Table, read: Sequence[_Read]) -> None:
        self.table = table
        self.read = read
        self._narrowed = 0
        self._budget = Budget()

    def problems(self) -> list[Diagnostic]:
        if not self.read:
            return []
        found: list[Diagnostic] = []
        bad: set[int] = set()
        for number, problem in self._asked_of_cedar():
            bad.add(number)
            found.append(problem)
        for number, each in enumerate(self.read):
            if number not in bad:
                found += self._looked_at(each)
        fine = [number for number in range(len(self.read)) if number not in bad]
        forms = [self.read[number].form for number in fine]
        found += [self._needless(less, fine) for less in needless(self.table, forms, Budget())]
        return list({(each.code, each.message, each.primary.span): each for each in found}.values())

    # by Cedar's validator

    def _asked_of_cedar(self) -> Iterator[tuple[int, Diagnostic]]:
        checker = Checker(schema(self.table))
        texts = [each.policy.text for each in self.read]
        by_policy: dict[int, list[str]] = {}
        for number, text in checker.findings(texts):
            by_policy.setdefault(number, []).append(text)
        for number, found in sorted(by_policy.items()):
            # That nothing is left to apply to follows from a name that is not known.
            rest = [text for text in found if _NOWHERE not in text] or found[:1]
            for text in dict.fromkeys(rest):
                yield number, self._finding(self.read[number], text, checker)
        yield from self._of_creations(frozenset(by_policy))

    def _of_creations(self, bad: frozenset[int]) -> Iterator[tuple[int, Diagnostic]]:
        """What a policy reads of an entity that is not there yet, kind by kind: others are there, with all fields."""
        kinds: dict[str, list[int]] = {}
        for number, each in enumerate(self.read):
            if number in bad:
                continue
            for kind in {name.entity for name in cedar.covered(self.table, each.form) if self._creates(name)}:
                kinds.setdefault(kind, []).append(number)
        for kind, ours in sorted(kinds.items()):
            checker = Checker(schema(self.table, creating=kind))
            for number, text in checker.findings([self.read[each].policy.text for each in ours]):
                name = _quoted(text)
                if "optional attribute" not in text or name is None:
                    continue  # It speaks of other actions too, and those have been asked about.
                yield ours[number], self._not_there_yet(self.read[ours[number]].piece, name)

    def _creates(self, name: cedar.ActionName) -> bool:
        return name.action is not None and creates(self.table.entities[name.entity].actions[name.action])

    def _not_there_yet(self, piece: Piece, name: str) -> Diagnostic:
        return Diagnostic(
            Code.B822,
            f"`{name}` may not be there: an entity that is being created has no fields yet",
            Label(_attribute_span(piece, name) or piece.effect.span, "read without asking"),
            help=f"ask `has {name}` first, or say of which actions the policy speaks",
        )

    def _finding(self, each: _Read, text: str, checker: Checker) -> Diagnostic:
        """One of Cedar's findings as ours."""
        piece = each.piece
        known = (
            (_ACTION, self._unknown_action),
            (_TYPE, self._unknown_type),
            (_ROLE, self._unknown_role),
            (_ATTRIBUTE, self._unknown_attribute),
            (_OPTIONAL, self._maybe_absent),
        )
        for pattern, told in known:
            found = pattern.search(text)
            if found:
                return told(piece, found)
        if _NOWHERE in text:
            return self._impossible(piece)
        span = self._narrow(each, text, checker)
        quoted = _quoted(text)
        at = piece.find(*words_of(quoted)) if quoted and span == piece.effect.span else None
        return Diagnostic(Code.B814, text, Label(at or span, "this does not fit"))

    def _narrow(self, each: _Read, text: str, checker: Checker) -> Span:
        """The smallest part of a policy's conditions that earns a finding by itself."""
        self._narrowed += 1
        if self._narrowed > NARROWED_MAX:
            return each.piece.effect.span
        head, clauses = _clauses(each.piece)
        earns = partial(_earns, checker, head, text)
        for clause in clauses:
            if earns(clause):
                return _smallest(clause, earns)
        return each.piece.effect.span

    def _unknown_action(self, piece: Piece, found: re.Match[str]) -> Diagnostic:
        name = found["name"]
        id = found["id"]
        known = [each.id for each in cedar.all_actions(self.table)]
        near = suggest(id, [*known, *cedar.GROUPS])
        help = f'did you mean `"{near}"`?' if near else f'it is `"Entity.Action"`, `"Entity.read"`, or {_groups()}'
        return Diagnostic(
            Code.B813, f"unknown action `{name}`", self._label(piece, name, "not in the blueprint"), help=help
        )

    def _unknown_type(self, piece: Piece, found: re.Match[str]) -> Diagnostic:
        name = found["name"]
        known = [cedar.entity_type(self.table, each) for each in self.table.entities]
        near = suggest(name, [*known, cedar.PRINCIPAL, cedar.ROLE, cedar.TEAM])
        help = f"did you mean `{near}`?" if near else f"there are {', '.join(f'`{each}`' for each in known)}"
        return Diagnostic(
            Code.B813, f"unknown entity type `{name}`", self._label(piece, name, "not in the blueprint"), help=help
        )

    def _unknown_role(self, piece: Piece, found: re.Match[str]) -> Diagnostic:
        id = found["id"]
        near = suggest(id, [role.name for role in self.table.roles])
        known = ", ".join(f"`{role.name}`" for role in self.table.roles)
        help = f"did you mean `{near}`?" if near else f"there are {known}"
        return Diagnostic(
            Code.B813, f"unknown role `{id}`", self._label(piece, found["name"], "not in the blueprint"), help=help
        )

    def _unknown_attribute(self, piece: Piece, found: re.Match[str]) -> Diagnostic:
        name, owner = found["name"], found["owner"]
        span = _attribute_span(piece, name) or piece.effect.span
        if owner.startswith("in context"):
            help = "say of which action the policy speaks: each has `params` of its own, and reading has none"
            return Diagnostic(
                Code.B813, f"`{name}` is not known of all of its actions", Label(span, "unknown"), help=help
            )
        kind = _quoted(owner) or "it"
        near = suggest(name, self._attributes(kind))
        help = (
            f"did you mean `{near}`?"
            if near
            else f"a `{kind}` has {', '.join(f'`{one}`' for one in self._attributes(kind))}"
        )
        return Diagnostic(Code.B813, f"`{kind}` has no attribute `{name}`", Label(span, "unknown"), help=help)

    def _attributes(self, kind: str) -> list[str]:
        if kind == cedar.PRINCIPAL:
            return ["name", "agent", "acts_for", "admin"]
        for entity in self.table.entities.values():
            if cedar.entity_type(self.table, entity.name) == kind:
                return ["id", "state", *(field.name for field in entity.fields)]
        return []

    def _maybe_absent(self, piece: Piece, found: re.Match[str]) -> Diagnostic:
        name = found["name"].strip('"')
        tag = found["kind"] == "tag"
        help = f'ask `principal.hasTag("{name}")` first' if tag else f"ask `has {name}` first"
        span = _attribute_span(piece, name) or piece.find(f'"{name}"') or piece.effect.span
        return Diagnostic(Code.B822, f"`{name}` may not be there", Label(span, "read without asking"), help=help)

    def _impossible(self, piece: Piece) -> Diagnostic:
        return Diagnostic(
            Code.B815,
            "no action is about what this policy names",
            Label(piece.effect.span, "it never applies"),
            help="an action is about entities of its own kind: "
            f'`action == {cedar.action_type(self.table)}::"Entity.Action"`',
        )

    def _label(self, piece: Piece, name: str, text: str) -> Label:
        return Label(piece.find(*words_of(name)) or piece.effect.span, text)

    # by what we know

    def _looked_at(self, each: _Read) -> Iterator[Diagnostic]:
        piece, form = each.piece, each.form
        names = cedar.covered(self.table, form)
        if form["effect"] == cedar.PERMIT:
            yield from self._permit(piece, form)
        yield from self._others_roles(piece, form)
        readings = [(name, read(self.table, form, name)) for name in _unlike(self.table, form, names)]
        unknown = list(_unknown(readings))
        for path, value, known in unknown:
            near = suggest(value, known)
            what = "state" if path[-1] == "state" else f"value of `{path[-1]}`"
            help = f"did you mean `{near}`?" if near else f"there are {_listed(known)}"
            span = piece.find(f'"{value}"') or piece.effect.span
            yield Diagnostic(Code.B813, f"unknown {what} `{value}`", Label(span, "not in the blueprint"), help=help)
        if not unknown:
            yield from self._never(piece, form, readings)

    def _never(
        self, piece: Piece, form: Json, readings: Sequence[tuple[cedar.ActionName, Reading]]
    ) -> Iterator[Diagnostic]:
        if not readings:
            yield self._impossible(piece)
            return
        asked = {name: states(self.table, name) for name, _ in readings}
        if any(possible(reading, asked[name], self._budget) for name, reading in readings):
            return
        left = {
            state
            for name, reading in readings
            for state in states(self.table, name, hopeful=False)
            if possible(reading, frozenset((state,)), self._budget)
        }
        text, help = "the conditions of this policy can't hold together", "no request meets all of them"
        if left:
            text = f"nothing that this policy {form['effect']}s is possible from {_listed(left)}"
            help = f"its actions are taken from {_listed(frozenset[str]().union(*asked.values()))}"
        yield Diagnostic(Code.B815, text, Label(piece.effect.span, "it never applies"), help=help)

    def _permit(self, piece: Piece, form: Json) -> Iterator[Diagnostic]:
        if not cedar.names_actions(form):
            yield Diagnostic(
                Code.B820,
                "this `permit` names no action, and would let people read and approve as well",
                Label(piece.effect.span, "permits everything"),
                help=f'name them: `action == {cedar.action_type(self.table)}::"Entity.read"`, '
                f"or a group of {_groups()}",
            )
        elif any(name.group == cedar.WRITE for name in cedar.covered(self.table, form)):
            only = all(name.group == cedar.WRITE for name in cedar.covered(self.table, form))
            named = _listed(name.id for name in cedar.covered(self.table, form) if name.group == cedar.WRITE)
            yield Diagnostic(
                Code.B817,
                f"this `permit` adds nothing{'' if only else f' for {named}'}: "
                "who may take an action is what its `by` says",
                Label(piece.effect.span, "it can never matter" if only else "it matters for the others alone"),
                help="write `forbid ... unless`, or widen the action's `by`",
            )

    def _others_roles(self, piece: Piece, form: Json) -> Iterator[Diagnostic]:
        for condition in form["conditions"]:
            for op, part in nodes(condition["body"]):
                right = part.get("right" if op == "in" else "in") if op in ("in", "is") else None
                if right is None or part["left"] == {"Var": "principal"}:
                    continue
                kinds = {
                    one["__entity"]["type"] for kind, one in nodes(right) if kind == "Value" and isinstance(one, dict)
                }
                if kinds & {cedar.ROLE, cedar.TEAM}:
                    yield Diagnostic(
                        Code.B821,
                        "roles and teams are known of the caller alone",
                        Label(self._in_span(piece), "asks for somebody else's"),
                        help="ask it of `principal`",
                    )
                    return

    def _in_span(self, piece: Piece) -> Span:
        _, clauses = _clauses(piece)
        inside = [token.span for clause in clauses for token in clause if token.text == "in"]
        return inside[0] if inside else piece.effect.span

    def _needless(self, found: Needless, numbers: Sequence[int]) -> Diagnostic:
        each = self.read[numbers[found.number]]
        id = each.policy.id
        if found.other is None:
            message = f"the policy `{id}` forbids what nothing permits"
            help = "nobody may say yes to these without a `permit`, and there is none: leave it out"
            return Diagnostic(Code.B816, message, Label(each.piece.effect.span, "needless"), help=help)
        other = self.read[numbers[found.other]]
        if other.policy.effect == each.policy.effect:
            message = f"the policy `{id}` says nothing that `{other.policy.id}` does not say"
            help = "leave it out"
        else:
            message = f"the policy `{id}` lets nobody do anything: `{other.policy.id}` forbids all that it permits"
            help = f"say in `{other.policy.id}` whom it spares"
        label = Label(other.piece.effect.span, "this covers it")
        return Diagnostic(Code.B816, message, Label(each.piece.effect.span, "needless"), (label,), help=help)


def _unlike(table: Table, form: Json, names: Iterable[cedar.ActionName]) -> Iterable[cedar.ActionName]:
    """Return those of some actions that make a difference to a policy: a bundle may have many of either."""
    asks = any("params" in _attributes(part) for op, part in nodes(form["conditions"]) if op in (".", "has"))
    if asks:
        return names
    return {(name.entity, name.group, states(table, name)): name for name in names}.values()


def _attributes(part: Json) -> list[str]:
    return part["attr"] if isinstance(part["attr"], list) else [part["attr"]]


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in sorted(words))


def _unknown(readings: Sequence[tuple[cedar.ActionName, Reading]]) -> Iterator[tuple[Path, str, tuple[str, ...]]]:
    """Each value that something is compared with, and that it never has, with those that it can have."""
    known: dict[Path, set[str]] = {}
    said: dict[tuple[Path, str], None] = {}
    opened: set[Path] = set()
    for _, reading in readings:
        said.update(dict.fromkeys((path, value) for path, value in reading.compared if isinstance(value, str)))
        opened.update(path for path, _ in reading.compared if path not in reading.closed)
        for path in reading.closed:
            known.setdefault(path, set()).update(v for v in reading.domains[path] if v != ERRS)
    for path, value in said:
        if path in known and path not in opened and value not in known[path]:
            yield path, value, tuple(sorted(known[path]))


def _groups() -> str:
    return ", ".join(f'`"{group}"`' for group in cedar.GROUPS)


def _attribute_span(piece: Piece, name: str) -> Span | None:
    """Where an attribute is read: the last part of a path, in a message, is what is meant."""
    last = name.rsplit(".", 1)[-1]
    for words in ((".", last), ("[", f'"{last}"'), ("has", last)):
        found = piece.find(*words)
        if found is not None:
            return Span(found.file, found.end - len(words[-1]), found.end)
    return None


# --- parts of a policy's text -----------------------------------------------------------------------------------------


def _clauses(piece: Piece) -> tuple[str, list[Sequence[Token]]]:
    """A policy's text up to its conditions, and what stands between the braces of each."""
    clauses: list[Sequence[Token]] = []
    head: str | None = None
    depth = 0
    begin = 0
    for at, token in enumerate(piece.tokens):
        if depth == 0 and token.text in ("when", "unless") and head is None:
            head = text_of(piece.tokens[:at])
        if token.text in "([{" and token.text:
            depth += 1
            if depth == 1 and token.text == "{":
                begin = at + 1
        elif token.text in (")", "]", "}"):
            depth -= 1
            if depth == 0 and token.text == "}":
                clauses.append(piece.tokens[begin:at])
    return head or "", clauses


def _earns(checker: Checker, head: str, text: str, tokens: Sequence[Token]) -> bool:
    alone = f"{head} when {{ {text_of(tokens)} }};"
    try:
        form_of(alone)
    except CannotParse:
        return False
    return any(found == text for _, found in checker.findings([alone]))


def _smallest(tokens: Sequence[Token], earns: Any) -> Span:
    for sign in ("||", "&&"):
        parts = _split(tokens, sign)
        if len(parts) > 1:
            for part in parts:
                if earns(part):
                    return _smallest(part, earns)
            break
    if len(tokens) > 2 and tokens[0].text == "(" and tokens[-1].text == ")" and earns(tokens[1:-1]):
        return _smallest(tokens[1:-1], earns)
    return tokens[0].span.to(tokens[-1].span)


def _split(tokens: Sequence[Token], sign: str) -> list[Sequence[Token]]:
    parts: list[Sequence[Token]] = []
    depth = begin = 0
    for at, token in enumerate(tokens):
        if token.text in ("(", "[", "{"):
            depth += 1
        elif token.text in (")", "]", "}"):
            depth -= 1
        elif depth == 0 and token.text == sign:
            parts.append(tokens[begin:at])
            begin = at + 1
    return [part for part in (*parts, tokens[begin:]) if part]
