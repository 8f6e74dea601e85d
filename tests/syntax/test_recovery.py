"""What is written wrongly: each mistake is found once, at its place, and what stands beside it is read all the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from inline_snapshot import snapshot

from temper.syntax import parse, parse_expression, tree
from temper.syntax.lexer import PROBLEMS_MAX, SOURCE_LENGTH_MAX
from temper.syntax.reader import DEPTH_MAX
from temper.text import Code, Diagnostic, Source, render
from tests.syntax.shapes import indented, shape

TOP = "blueprint b\n"
ENTITY = TOP + "entity Ent\n  states A, B\n"


def problems_of(text: str) -> tuple[Diagnostic, ...]:
    return parse(Source("f", text))[1]


def codes(text: str, *, after: int = 0) -> str:
    """The problems of `text`, as line and code; lines count from behind the first `after`."""
    source = Source("f", text)
    places = [(source.position(problem.primary.span.start).line, problem.code.name) for problem in parse(source)[1]]
    return " ".join(f"{line - after}:{code}" for line, code in places)


def mended(text: str) -> str | None:
    """The text after all fixes; `None` if a problem has none."""
    problems = problems_of(text)
    fixes = [problem.fix for problem in problems if problem.fix is not None]
    if len(fixes) < len(problems):
        return None
    for fix in sorted(fixes, key=lambda fix: fix.span, reverse=True):
        text = text[: fix.span.start] + fix.text + text[fix.span.end :]
    return text


# Each row is a slip: what is written, the problems by line, and what their fixes make of it where all have one.
SLIPS_IN_AN_ENTITY = [
    ("acton Go by x from A to B", "1:B033", "action Go by x from A to B"),
    ("action Go by x form A to B", "1:B033", "action Go by x from A to B"),
    ("action Go by x frm A to B wen a", "1:B033 1:B033", "action Go by x from A to B when a"),
    ("state C", "1:B033", "states C"),
    ("state == A", "1:B033", None),
    ("action Go by x when state == A", "1:B056", "action Go by x when state is A"),
    (
        "action Go by x when state != A && y || !z",
        "1:B056 1:B008 1:B008 1:B008",
        "action Go by x when state is not A and y or not z",
    ),
    ("always not x.state == A", "1:B056", "always not x.state is A"),
    ("action Go by x from A -> B", "1:B070", "action Go by x from A to B"),
    ("action Go by x from A => B", "1:B070", "action Go by x from A to B"),
    ("action Go by x\n  from A -> B", "2:B070", "action Go by x\n  from A to B"),
    ("action Go by x\n  set a == 1", "2:B052", "action Go by x\n  set a = 1"),
    ("action Go by x\n  set a := 1", "2:B008", "action Go by x\n  set a = 1"),
    ("action Go by x\n  set a to 1", "2:B052", "action Go by x\n  set a = 1"),
    ("action Go by x\n  set a.b = 1", "2:B074", None),
    ("action Go by x\n  set a++", "2:B008", None),
    ("action Go by x\n  set state = A", "2:B021", None),
    ("action Go by x\n  set a = 1,", "2:B038", "action Go by x\n  set a = 1"),
    ("action Go by x\n  if a then set b = 1", "2:B054", "action Go by x\n  if a: set b = 1"),
    ("action Go by x\n  if a set b = 1", "2:B039", "action Go by x\n  if a: set b = 1"),
    ("action Go by x\n  if a: set b\n  else: set c", "3:B055", None),
    ("action Go by x\n  if a: set b\n  elif c: set d", "3:B055", None),
    ("action Go by x\n  for y in ys emit E", "2:B039", "action Go by x\n  for y in ys: emit E"),
    ("action Go by x\n  for y ys: emit E", "2:B035", None),
    ("action Go by x\n  for y in ys\n    emit E", "2:B039", "action Go by x\n  for y in ys:\n    emit E"),
    ("action Go by x\n  if a:", "2:B035", None),
    ('action Go by x\n  call a.b then "done"', "2:B035", None),
    ("action Go by x\n  call a.b then do X", "2:B035", "action Go by x\n  call a.b then X"),
    ("action Go by x\n  call a.b\n  then X", "3:B055", None),
    ("action Go by x\n  call a.b then X then Y", "2:B072", None),
    ("action Go by x\n  send Go", "2:B035", None),
    ("action Go by x\n  send x", "2:B035", None),
    ("action Go by x\n  create Foo as y", "2:B035", None),
    ("action Go by x\n  emit", "2:B035", None),
    ("action Go by x\n  by y set a", "2:B071", "action Go by x\n  by y\n  set a"),
    ("action Go by x\n  from A to B, C", "2:B035", None),
    ("action Go by x\n  from * to B", "2:B035", "action Go by x\n  from any to B"),
    ("action Go by x or y", "1:B035", "action Go by x, y"),
    ("action Go by x and y", "1:B035", None),
    ("action Go by all", "1:B035", "action Go by anyone"),
    ("action Go by x {\n  set a = 1\n}", "1:B010", None),
    ("action Go(a int) by x", "1:B039", "action Go(a: int) by x"),
    ("action Go(a: int by x\n  set a", "1:B011", None),
    ("action Go(a: int, ) by x", "1:B038", "action Go(a: int ) by x"),
    ("action Go(a: int b: int) by x", "1:B035", "action Go(a: int, b: int) by x"),
    ("action go_now by x", "1:B020", "action GoNow by x"),
    ("action Go(someArg: int) by x", "1:B020", "action Go(some_arg: int) by x"),
    ("action Go:\n  by x", "1:B037", "action Go\n  by x"),
    ("action Go by x: from A to B", "1:B037", "action Go by x from A to B"),
    ("action by x", "1:B035", None),
    ("action Go by x from A to B when a <\n  set b", "1:B050", None),
    ("action Go by x when a < b < c from A to B", "1:B053", "action Go by x when a < b and b < c from A to B"),
    ('action Go by x when else "t"', "1:B050", None),
    ("action Go by x when a else B", "1:B055", None),
    ("action Go by x\nwhen a", "2:B034", None),
    ("in A:\n  on entry set x", "1:B037", "in A\n  on entry set x"),
    ("in A\n  on enter set x", "2:B033", "in A\n  on entry set x"),
    ("in A\n  on entry: set x", "2:B037", "in A\n  on entry set x"),
    ("in A\n  after 3d Go", "2:B035", "in A\n  after 3d do Go"),
    ("in A\n  after 3d then Go", "2:B035", "in A\n  after 3d do Go"),
    ("in A\n  late X ignored", "2:B035", "in A\n  late X ignore"),
    ("in A\n  late X", "2:B035", None),
    ("in A\n  set x", "2:B034", None),
    ("in A", "1:B035", None),
    ("moved int 0..3", "1:B039", "moved: int 0..3"),
    ("moved: int 0-3", "1:B062", "moved: int 0..3"),
    ("moved: int 0 to 3", "1:B062", "moved: int 0 .. 3"),
    ("moved: int(0..3)", "1:B062", None),
    ("moved: float", "1:B061", "moved: decimal"),
    ("moved: str = 'a'", "1:B061 1:B004", 'moved: string = "a"'),
    ("moved: boolean", "1:B061", "moved: bool"),
    ("moved: list<int>", "1:B062", None),
    ("moved: int[]", "1:B062", None),
    ("moved: [int]", "1:B062", None),
    ("moved: set[string] max 4", "1:B062", None),
    ("moved: map of string, int max 4", "1:B062", "moved: map of string to int max 4"),
    ("moved: enum(a, b)", "1:B062", None),
    ("moved: one of [a, b]", "1:B035", None),
    ('moved: one of ("a", "b")', "1:B062 1:B062", "moved: one of (a, b)"),
    ("moved: optional string", "1:B062", None),
    ("moved: string??", "1:B062", "moved: string?"),
    ("moved: string | none", "1:B001", None),
    ('moved: "a" | "b"', "1:B062 1:B001", None),
    ("moved:", "1:B062", None),
    ("moved: int,", "1:B038", "moved: int"),
    ("moved: int = 5;", "1:B009", "moved: int = 5"),
    ("moved: int default 5", "1:B035", "moved: int = 5"),
    ("camelCase: int", "1:B020", "camel_case: int"),
    ("Moved: int", "1:B020", "moved: int"),
    ("id: string", "1:B021", None),
    ("let a = if b then c", "1:B054", None),
    ("let a = if b: c else d", "1:B054", None),
    ("let a = if b then c elif d then e else f", "1:B055", "let a = if b then c else if d then e else f"),
    ("let a = b ? c : d", "1:B054", None),
    ("let a = (b + c", "1:B011", None),
    ("let a = b + c)", "1:B012", "let a = b + c"),
    ("let a = [b, c}", "1:B012", None),
    ("let a = [b, c,]", "1:B038", "let a = [b, c]"),
    ("let a = f(b,)", "1:B038", "let a = f(b)"),
    ("let a = b.size()", "1:B059", None),
    ("let a = b.contains(c)", "1:B059", None),
    ("let a = b(c).d(e)", "1:B059", None),
    ("let a = all(x in b: c)", "1:B060", "let a = (all x in b: c)"),
    ("let a = all x of b: c", "1:B060", "let a = all x in b: c"),
    ("let a = count x in b: c", "1:B060", "let a = count(x in b: c)"),
    ("let a = any x in b c", "1:B060", None),
    ("let a = x is none", "1:B058", "let a = x == none"),
    ("let a = x is not null", "1:B058", "let a = x != none"),
    ("let a = x is 5", "1:B058", "let a = x == 5"),
    ("let a = state is (A, B)", "1:B058", "let a = state in (A, B)"),
    ("let a = state is not in (A, B)", "1:B058", "let a = state not in (A, B)"),
    ("let a = b = c", "1:B051", "let a = b == c"),
    ("let a = b and not in c", "1:B058", None),
    ("let a = b and", "1:B050", None),
    ("let a = * b", "1:B050", None),
    ("let a = b c", "1:B036", None),
    ("let a = null", "1:B057", "let a = none"),
    ("let a = True", "1:B057", "let a = true"),
    ("let a = (b, c)", "1:B035", None),
    ("let a = x in ()", "1:B050", None),
    ("let a = {b for c in d if e}", "1:B035", None),
    ("let a = b == not c", "1:B050", None),
    ("let a == b", "1:B052", "let a = b"),
    ("let = 3", "1:B035", None),
    ("states a, B", "1:B020", "states A, B"),
    ("states A B", "1:B035", "states A, B"),
    ("states", "1:B035", None),
    ("final", "1:B035", None),
    ("group Open: A, B", "1:B035", "group Open = A, B"),
    ("unique a, b", "1:B035", "unique (a, b)"),
    ("key", "1:B035", None),
    ("eventually A -> B", "1:B035", "eventually A leads to B"),
    ("eventually A to B", "1:B035", "eventually A leads to B"),
    ("eventually A leads B", "1:B035", "eventually A leads to B"),
    ("never A", "1:B035", None),
    ("never x reaches A", "1:B035", None),
    ("can A", "1:B035", None),
    ("A needs 2 off x", "1:B035", "A needs 2 of x"),
    ("A needs 2 of x of y", "1:B072", None),
    ("always", "1:B050", None),
    ('always "t" a', "1:B039", 'always "t": a'),
    ("foo", "1:B033", None),
    ("foo bar baz", "1:B033", None),
    ("role x", "1:B034", None),
    ("5", "1:B035", None),
    ('"text"', "1:B035", None),
    ("else", "1:B055", None),
    ("then A", "1:B055", None),
    ("@ x: int", "1:B001", None),
    ("x: int\n    y: int", "2:B014", None),
    ("x: int\n y: int", "2:B014", None),
]
SLIPS_AT_THE_TOP = [
    ("entity", "1:B035", None),
    ("entity foo", "1:B020", "entity Foo"),
    ("entity Foo {\n  x: int\n}", "1:B010", None),
    ("entity Foo:\n  x: int", "1:B037", "entity Foo\n  x: int"),
    ("enity Foo\n  x: int", "1:B033", "entity Foo\n  x: int"),
    ("role Admin", "1:B020", "role admin"),
    ("role a b", "1:B035", "role a, b"),
    ("role a, b excludes c", "1:B035", None),
    ("type stage = int", "1:B020", "type Stage = int"),
    ("type Stage: int", "1:B035", "type Stage = int"),
    ("type Stage", "1:B035", None),
    ("record Line\n  sku: string", "1:B035", None),
    ("record Line(sku string)", "1:B039", "record Line(sku: string)"),
    ("const X = 1", "1:B020", "const x = 1"),
    ("const x: int = 1", "1:B036", "const x = 1"),
    ("const x", "1:B035", None),
    ("tool a.b(c: int) -> string", "1:B035", "tool a.b(c: int) -> (answer: string)"),
    ("tool a.b(c: int): string", "1:B035 1:B035", "tool a.b(c: int) -> (answer: string)"),
    ("tool A.b", "1:B020", "tool a.b"),
    ("tool a.b\n  timout 5s", "2:B033", "tool a.b\n  timeout 5s"),
    ("tool a.b\n  retry 5", "2:B035", None),
    ("tool a.b\n  retry 5 each 10s", "2:B035", None),
    ('tool a.b\n  from "x.wasm"', "2:B035", None),
    ("tool a.b\n  set x", "2:B034", None),
    ("event paid", "1:B020", "event Paid"),
    ("scope Order", "1:B050", None),
    ("scope Order 2,", "1:B038", "scope Order 2"),
    ("scope Account.balance 3", "1:B062", None),
    ("scenario x", "1:B035", None),
    ('scenario "s"\n  operator("ann") r.Go', "2:B035", 'scenario "s"\n  operator(ann) r.Go'),
    ('scenario "s"\n  agent(bot for) r.Go', "2:B035", None),
    ('scenario "s"\n  operator(ann) r.Go Done', "2:B035", 'scenario "s"\n  operator(ann) r.Go -> Done'),
    ('scenario "s"\n  operator(ann) Go', "2:B035", None),
    ('scenario "s"\n  operator(ann) r.Go ->', "2:B035", None),
    ('scenario "s"\n  wait 30 min', "2:B007", 'scenario "s"\n  wait 30m'),
    ('scenario "s"\n  wait 30 minutes -> A', "2:B007", 'scenario "s"\n  wait 30m -> A'),
    ('scenario "s"\n  r.moved = 1', "2:B051", 'scenario "s"\n  r.moved == 1'),
    ('scenario "s"\n  a.b times', "2:B035", None),
    ('scenario "s"\n  r.moved == 1 -> A', "2:B035", None),
    ('scenario "s"\n  -> A', "2:B036", None),
    ('scenario "s"\n  given r', "2:B035", None),
    ("upgrade 3", "1:B035", "upgrade from 3"),
    ("upgrade from x", "1:B035", None),
    ("upgrade from 3\n  Order\n    A becomse B", "3:B035", "upgrade from 3\n  Order\n    A becomes B"),
    ("upgrade from 3\n  Order\n    rename x", "3:B035", None),
    ("states A", "1:B034", None),
    ("set x = 1", "1:B034", None),
    ("field: int", "1:B034", None),
    ("import x", "1:B033", None),
    ("while true", "1:B033", None),
    ("blueprint c", "1:B031", None),
    ("  role a", "1:B014", None),
    ("always forall x in Y: z", "1:B060", "always all x in Y: z"),
]


@pytest.mark.parametrize(("wrong", "found", "right"), SLIPS_IN_AN_ENTITY)
def test_in_an_entity(wrong: str, found: str, right: str | None) -> None:
    text = ENTITY + indented(wrong) + "\n"
    assert codes(text, after=3) == found
    assert mended(text) == (None if right is None else ENTITY + indented(right) + "\n")
    assert right is None or codes(ENTITY + indented(right) + "\n") == ""


@pytest.mark.parametrize(("wrong", "found", "right"), SLIPS_AT_THE_TOP)
def test_at_the_top(wrong: str, found: str, right: str | None) -> None:
    """The same for lines at the left edge."""
    text = TOP + wrong + "\n"
    assert codes(text, after=1) == found
    assert mended(text) == (None if right is None else TOP + right + "\n")
    assert right is None or codes(TOP + right + "\n") == ""


def test_several_problems_are_found_in_one_run() -> None:
    """In order of place; a broken line costs none of its neighbours."""
    text = """\
blueprint helix

rol operator

entity Rollout
  states Planned, rolling, Live
  final Live

  moved int 0..64 = 0
  halted_because: sting?

  action Start by operator form Planned to Rolling
    set moved == 1
  action Halt(reason: string by operator
    from Rolling to Planned
  action Promote by operator from Rolling to Live
    when moved >= 1 &&
      state is Rolling else "not yet"
"""
    assert codes(text) == "3:B033 6:B020 9:B039 10:B061 12:B033 13:B052 14:B011 17:B008"
    file, _ = parse(Source("f", text))
    assert shape(file.declarations[0]) == "Role([operator])"
    entity = file.declarations[1]
    assert isinstance(entity, tree.Entity)
    assert [type(part).__name__ for part in entity.parts] == ["States", "Final", "Field", "Field", *["Action"] * 3]
    assert shape(entity.parts[-1]) == (
        "Action(Promote [] [By([operator]) From([Rolling] Live [])"
        " When(((moved >= 1) and Is(state False Rolling -)) 'not yet')])"
    )


def test_a_message_stands_alone_and_its_place_is_small() -> None:
    text = ENTITY + "  action Go by x from A to B when state == A\n"
    (problem,) = problems_of(text)
    assert render(problem, {"f": Source("f", text)}) == snapshot("""\
error[B056]: a state is not compared with `==`
  --> f:4:41
  4 |   action Go by x from A to B when state == A
    |                                         ^^
  help: write `is A`
""")
    text = ENTITY + "  in A on entry call a.b(1) then Go then Stop\n"
    (problem,) = problems_of(text)
    assert render(problem, {"f": Source("f", text)}) == snapshot("""\
error[B072]: `then` is given twice
  --> f:4:37
  4 |   in A on entry call a.b(1) then Go then Stop
    |                             ----    ^^^^
    |                             |
    |                             the first one
  help: an outcome has one handler; let its action's cases tell what follows
""")
    text = ENTITY + "  x: int\n    y: int\n"
    (problem,) = problems_of(text)
    assert render(problem, {"f": Source("f", text)}) == snapshot("""\
error[B014]: this line is indented too deep
  --> f:5:5
  4 |   x: int
    |   - the line above begins here
  5 |     y: int
    |     ^
  help: nothing can stand below the line above; begin this one where that one begins
""")


def test_messages_are_worded_as_the_style_has_it() -> None:
    """Over all slips: lower case, no full stop, and none of the words that belittle."""
    texts = [ENTITY + indented(wrong) + "\n" for wrong, _, _ in SLIPS_IN_AN_ENTITY]
    texts += [TOP + wrong + "\n" for wrong, _, _ in SLIPS_AT_THE_TOP]
    said = {words for text in texts for problem in problems_of(text) for words in (problem.message, problem.help)}
    for words in said - {None}:
        assert words is not None
        assert words[0].islower() or words[0] == "`"
        assert not words.endswith(".") or words.endswith("...")
        assert not {"illegal", "simply", "just", "oops"} & set(words.lower().split())


# --- what is left of a broken line ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("action Go by x when a < from A to B", "Action(Go [] [By([x]) When((a < BadExpr()) -) From([A] B [])])"),
        ("action Go(a: int b) by x from A", "Action(Go [Param(a int -)] [By([x]) From([A] - [])])"),
        ("action Go by * from A", "Action(Go [] [By([BadExpr()]) From([A] - [])])"),
        ("in A on entry set x = late B ignore", "In([A] [OnEntry(Set([SetItem(x '=' BadExpr() -)])) Late([B] -)])"),
        ("x:", "Field(x BadType() -)"),
        ("x: int = )", "Field(x int BadExpr())"),
        ("let x = (a", "Let(x a)"),
        ("always a or", "Always(- (a or BadExpr()))"),
        ("A needs 2 of", "Needs(- StateName(- A) 2 - [] - [])"),
        ("when a", ""),
        ("foo bar", ""),
    ],
)
def test_what_could_be_read_stays(text: str, left: str) -> None:
    """One row, one broken line: the parts of the entity that are left."""
    file, problems = parse(Source("f", "blueprint b\nentity Ent\n" + indented(text) + "\n"))
    assert problems
    (entity,) = file.declarations
    assert isinstance(entity, tree.Entity)
    assert " ".join(map(shape, entity.parts)) == left


# --- indentation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found", "entities"),
    [
        ("entity E\n    x: int\n  y: int\n", "4:B013", ["x", "y"]),
        ("entity E\n    x: int\n   y: int\n", "4:B013", ["x", "y"]),
        ("entity E\n    x: int\n y: int\n", "4:B013 4:B034", ["x"]),
        ("  entity E\n    x: int\n", "2:B014", ["x"]),
        ("entity E\n\tx: int\n\ty: int\n", "3:B002", ["x", "y"]),
        ("entity E\n  x: int\n      deep: int\n        deeper: int\n  y: int\n", "4:B014", ["x", "y"]),
        ("foo E\n  x: int\n  set y\nentity E\n  x: int\n", "2:B033", ["x"]),
    ],
)
def test_indentation(text: str, found: str, entities: list[str]) -> None:
    """One row, one file: its problems, and the fields of its entity."""
    assert codes(TOP + text) == found
    file, _ = parse(Source("f", TOP + text))
    fields = [
        part.name.text
        for entity in file.declarations
        if isinstance(entity, tree.Entity)
        for part in entity.parts
        if isinstance(part, tree.Field)
    ]
    assert fields == entities


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("const x = (1 +\nrole a\n", "2:B011"),
        ("entity E\n  action Go(a: int\n    by x\n    set a\n  x: int;\n", "3:B011 6:B009"),
        ("const x = [\n  1,\n  2\n]\nrole A\n", "6:B020"),
        ("const x = [\n  1,\n  2\nrole A\n", "2:B011 5:B020"),
        ("const x = {\n  1: 2\n}}\n", "4:B012"),
        ("entity E {\n  action Go by x {\n    set a\n  }\n}\nrole A\n", "2:B010 7:B020"),
        ("entity E\n  states A,\n  final A\n", "3:B038"),
        ("entity E\n  states A,\n    final A\n", "3:B038 4:B014"),
    ],
)
def test_a_list_that_does_not_end_swallows_no_other_line(text: str, found: str) -> None:
    assert codes(TOP + text) == found


# --- limits -----------------------------------------------------------------------------------------------------------


def test_a_file_has_a_longest_length() -> None:
    line = "# a comment\n"
    text = TOP + line * ((SOURCE_LENGTH_MAX - len(TOP)) // len(line))
    assert codes(text) == ""
    text += " " * (SOURCE_LENGTH_MAX + 1 - len(text))
    assert codes(text) == "1:B015"
    expr, (problem,) = parse_expression(" " * SOURCE_LENGTH_MAX + "a")
    assert isinstance(expr, tree.BadExpr)
    assert problem.code is Code.B015


def test_past_a_hundred_problems_the_last_says_that_there_are_more() -> None:
    some = problems_of(TOP + "role a;\n" * (PROBLEMS_MAX - 1))
    assert [problem.code for problem in some] == [Code.B009] * (PROBLEMS_MAX - 1)
    many = problems_of(TOP + "role a;\n" * 5 * PROBLEMS_MAX)
    assert [problem.code for problem in many] == [*[Code.B009] * (PROBLEMS_MAX - 1), Code.B017]


@pytest.mark.parametrize(
    "nested",
    [
        lambda depth: "(" * depth + "a" + ")" * depth,
        lambda depth: "[" * depth + "]" * depth,
        lambda depth: "{x in " * depth + "s" + ": x}" * depth,
        lambda depth: "x in (" * depth + "s" + ")" * depth,
        lambda depth: "not " * depth + "a",
        lambda depth: "- " * depth + "a",
        lambda depth: "a implies " * depth + "a",
        lambda depth: "a" + " + a" * depth,
        lambda depth: "a" + ".a" * depth,
        lambda depth: "a" + "[a]" * depth,
        lambda depth: "f(" * depth + ")" * depth,
        lambda depth: "if a then " * depth + "a" + " else a" * depth,
        lambda depth: "all x in s: " * depth + "x",
    ],
)  # fmt: skip
def test_expressions_are_nested_so_deep_and_no_deeper(nested: Callable[[int], str]) -> None:
    """What is read can be walked by a plain recursion; what is deeper is one problem."""
    _, fine = parse_expression(nested(DEPTH_MAX - 2))
    assert fine == ()
    expr, problems = parse_expression(nested(20 * DEPTH_MAX))
    assert [problem.code for problem in problems] == [Code.B016]
    shape(expr)


def test_lines_and_types_are_nested_so_deep_and_no_deeper() -> None:
    def lines(depth: int) -> str:
        opening = "".join(" " * (at + 4) + "if a:\n" for at in range(depth))
        return ENTITY + "  action Go\n" + opening + " " * 4 * depth + "set x"

    assert codes(lines(DEPTH_MAX // 2)) == ""
    assert codes(lines(20 * DEPTH_MAX)).split(":")[1] == "B016"
    on_one_line = ENTITY + "  action Go by x\n    " + "if a: " * 20 * DEPTH_MAX + "set x\n"
    assert codes(on_one_line) == "5:B016"
    assert codes(TOP + "type T = " + "set of " * (DEPTH_MAX - 1) + "int\n") == ""
    assert codes(TOP + "type T = " + "set of " * 20 * DEPTH_MAX + "int\n") == "2:B016"
