"""Each construct of the language, as the tree that it is read as."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from temper.syntax import parse, parse_bundle, parse_expression, tree
from temper.text import Code, Source
from tests.syntax.shapes import declaration, expression, part_of_action, part_of_entity, read, shape, step

LANGUAGE = Path(__file__).parents[2] / "docs" / "reference" / "language.md"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a", "a"),
        ("a.b.c", "a.b.c"),
        ("12", "12"),
        ("1_000", "1000"),
        ("3.50", "3.50"),
        ('"text"', "'text'"),
        ('"a\\n\\"b\\" \\u{1F600}"', "'a\\n\"b\" 😀'"),
        ("90s", "90000ms"),
        ("250ms", "250ms"),
        ("7d", "604800000ms"),
        ("true", "True"),
        ("false", "False"),
        ("none", "none"),
        ("this", "this"),
        ("state", "state"),
        ("now - created_at > 24h", "((now - created_at) > 86400000ms)"),
        ("caller.acts_for", "caller.acts_for"),
        ("error.text", "error.text"),
        ("a implies b implies c", "(a implies (b implies c))"),
        ("a or b or c and d", "((a or b) or (c and d))"),
        ("not a and not b == c", "((not a) and (not (b == c)))"),
        ("not not a", "(not (not a))"),
        ("a == b and c != d", "((a == b) and (c != d))"),
        ("a < b or a <= b or a > b or a >= b", "((((a < b) or (a <= b)) or (a > b)) or (a >= b))"),
        ("a in b and a not in b", "((a in b) and (a not in b))"),
        ("a ?? b ?? c", "(a ?? (b ?? c))"),
        ("a ?? b + c", "(a ?? (b + c))"),
        ("a + b - c * d // e % f", "((a + b) - (((c * d) // e) % f))"),
        ("a - b - c", "((a - b) - c)"),
        ("a & b + c", "((a & b) + c)"),
        ("-a * -b", "((- a) * (- b))"),
        ("- -a", "(- (- a))"),
        ("-a.b", "(- a.b)"),
        ("a - -1", "(a - (- 1))"),
        ("(a + b) * c", "((a + b) * c)"),
        ("a == (b == c)", "(a == (b == c))"),
        ("state is A", "Is(state False A -)"),
        ("state is not A", "Is(state True A -)"),
        ("x.state is A and y", "(Is(x.state False A -) and y)"),
        ("caller is operator", "Is(caller False operator -)"),
        ("action is Entity.Go", "Is(action False Go Entity)"),
        ("action is Go implies before.x < x", "(Is(action False Go -) implies (before.x < x))"),
        ("before(x.y + 1) == 2", "(Apply(before [(x.y + 1)]) == 2)"),
        ("state in (A, B)", "(state in OneOfNames([A B]))"),
        ("state not in (A)", "(state not in OneOfNames([A]))"),
        ("a in (b)", "(a in OneOfNames([b]))"),
        ("a in (b + c)", "(a in (b + c))"),
        ("a in (b) + c", "(a in (b + c))"),
        ("a in (b).c", "(a in b.c)"),
        ("a in {b}", "(a in SetOf([b]))"),
        ("if a then b else c", "IfExpr(a b c)"),
        ("if A then B else not C", "IfExpr(A B (not C))"),
        ("if a then b else if c then d else e", "IfExpr(a b IfExpr(c d e))"),
        ("if a then b else c + 1", "IfExpr(a b (c + 1))"),
        ("a + if b then c else d", "(a + IfExpr(b c d))"),
        ("size(xs)", "Apply(size [xs])"),
        ("min(a, b)", "Apply(min [a b])"),
        ("set(xs)", "Apply(set [xs])"),
        ("max(a, b) + 1", "(Apply(max [a b]) + 1)"),
        ("Line(sku: s, units: 1)", "Apply(Line [sku:s units:1])"),
        ("f()", "Apply(f [])"),
        ("count(xs)", "Apply(count [xs])"),
        ("all x in s: x > 1 and y", "Quantifier('all' x s ((x > 1) and y))"),
        ("any x in a + b: x", "Quantifier('any' x (a + b) x)"),
        ("a and all x in s: all y in x.ys: y", "(a and Quantifier('all' x s Quantifier('all' y x.ys y)))"),
        ("count(x in s: x.ok) + 1", "(Quantifier('count' x s x.ok) + 1)"),
        ("sum(x in s: x.n)", "Quantifier('sum' x s x.n)"),
        ("first(x in s: x.ok)", "Quantifier('first' x s x.ok)"),
        (
            "all x in Order: x.state is Done implies y",
            "Quantifier('all' x Order (Is(x.state False Done -) implies y))",
        ),
        ("{}", "SetOf([])"),
        ("{a, b}", "SetOf([a b])"),
        ('{"a": 1, "b": 2}', "MapOf([['a' 1] ['b' 2]])"),
        ("{a + 1: b}", "MapOf([[(a + 1) b]])"),
        ("{x in s: x > 1}", "Filter(x s (x > 1))"),
        ("{x in s, y}", "SetOf([(x in s) y])"),
        ("{x in s}", "SetOf([(x in s)])"),
        ("{x in s and y, z}", "SetOf([((x in s) and y) z])"),
        ("{x in (A, B), y}", "SetOf([(x in OneOfNames([A B])) y])"),
        ("{x in (s): x}", "Filter(x s x)"),
        ("{f(x) for x in s}", "Mapped('set' Apply(f [x]) x s)"),
        ("[]", "ListOf([])"),
        ("[a, b]", "ListOf([a b])"),
        ("[f(x) for x in s]", "Mapped('list' Apply(f [x]) x s)"),
        ("[a in b, c]", "ListOf([(a in b) c])"),
        ("xs[0]", "Index(xs 0)"),
        ("xs[0].y[z]", "Index(Index(xs 0).y z)"),
        ('m["k"] ?? 1', "(Index(m 'k') ?? 1)"),
        ("(a).b", "a.b"),
        ("(f(x)).y", "Apply(f [x]).y"),
        ("count", "count"),
        ("first + sum", "(first + sum)"),
        ("max", "max"),
    ],
)
def test_expression(text: str, found: str) -> None:
    """One row, one expression: how it is grouped."""
    assert expression(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("bool", "bool"),
        ("string", "string"),
        ("time", "time"),
        ("duration", "duration"),
        ("principal", "principal"),
        ("Order", "Order"),
        ("int", "int"),
        ("int 0..64", "int0..64"),
        ("int 0..", "int0.."),
        ("int ..5", "int..5"),
        ("int -5..-1", "int(- 5)..(- 1)"),
        ("int 0..limit", "int0..limit"),
        ("int low..high", "intlow..high"),
        ("decimal", "decimal"),
        ("decimal 0..", "decimal0.."),
        ("decimal 0.5..1.5", "decimal0.5..1.5"),
        ("one of (low, high)", "EnumType([low high])"),
        ("one of (a)", "EnumType([a])"),
        ("set of string max 8", "CollectionType('set' string 8)"),
        ("set of int 0.. max 8", "CollectionType('set' int0.. 8)"),
        ("list of T max limit", "CollectionType('list' T limit)"),
        ("list of one of (a, b) max 2", "CollectionType('list' EnumType([a b]) 2)"),
        ("map of string to int max 8", "MapType(string int 8)"),
        ("map of int 0.. to string max 8", "MapType(int0.. string 8)"),
        ("set of string", "CollectionType('set' string -)"),
        ("string?", "string?"),
        ("int 0..64?", "int0..64?"),
        ("set of string? max 8", "CollectionType('set' string? 8)"),
        ("set of string max 8?", "CollectionType('set' string 8)?"),
        ("list of list of int max 2 max 3", "CollectionType('list' CollectionType('list' int 2) 3)"),
    ],
)
def test_type(text: str, found: str) -> None:
    """One row, one type, as a field has it."""
    assert part_of_entity(f"f: {text}") == f"Field(f {found} -)"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("role a", "Role([a])"),
        ("role a, b,\n  c", "Role([a b c])"),
        ("role a excludes b, c", "Excludes(a [b c])"),
        ("type Stage = one of (alpha, beta)", "TypeDecl(Stage EnumType([alpha beta]))"),
        ("type Small = int 0..9", "TypeDecl(Small int0..9)"),
        (
            "record Line(sku: string, units: int 1.., note: string? = none)",
            "Record(Line [Param(sku string -) Param(units int1.. -) Param(note string? none)])",
        ),
        ("record Line(\n  sku: string,\n  units: int\n)", "Record(Line [Param(sku string -) Param(units int -)])"),
        ("const limit = 5", "Const(limit 5)"),
        ('const m = {"a": [1, 2], "b": []}', "Const(m MapOf([['a' ListOf([1 2])] ['b' ListOf([])]]))"),
        ("const xs = [\n  1,\n  2\n]", "Const(xs ListOf([1 2]))"),
        (
            "tool a.b(p: int, q: string) -> (r: int, s: string)",
            "Tool([a b] [Param(p int -) Param(q string -)] [Param(r int -) Param(s string -)] [])",
        ),
        ("tool a.b.c()", "Tool([a b c] [] [] [])"),
        (
            "tool a.b(p: int) timeout 2m retry 5 every 10s idempotent",
            "Tool([a b] [Param(p int -)] [] [Timeout(120000ms) Retry(5 10000ms -) Idempotent()])",
        ),
        (
            'tool a.b\n  timeout 2m\n  retry 5 every 10s up to 1h\n  idempotent\n  from wasm "x.wasm"',
            "Tool([a b] [] [] [Timeout(120000ms) Retry(5 10000ms 3600000ms) Idempotent() FromWasm('x.wasm')])",
        ),
        ("event Paid", "Event(Paid [])"),
        ("event Paid(order: Order, at: time)", "Event(Paid [Param(order Order -) Param(at time -)])"),
        (
            "scope Order 2, Account.balance 0..3, Account.rest ..5, Account.more 0..",
            (
                "Scope([ScopeItem(Order - 2 - -) ScopeItem(Account balance - 0 3) ScopeItem(Account rest - - 5) "
                "ScopeItem(Account more - 0 -)])"
            ),
        ),
        ("always all o in Order: o.x == 1", "Always(- Quantifier('all' o Order (o.x == 1)))"),
        ("always all o in Order:\n  o.x == 1", "Always(- Quantifier('all' o Order (o.x == 1)))"),
        ('always "one": a', "Always('one' a)"),
        (
            "eventually Order.A leads to Order.B, Order.C",
            "Eventually(- [StateName(Order A)] [StateName(Order B) StateName(Order C)] [])",
        ),
        (
            'eventually "t": A leads to B assume operator responds',
            "Eventually('t' [StateName(- A)] [StateName(- B)] [Assume([operator] 'responds')])",
        ),
        (
            "eventually A leads to B\n  assume operator responds\n  assume a.b succeeds",
            "Eventually(- [StateName(- A)] [StateName(- B)] [Assume([operator] 'responds') Assume([a b] 'succeeds')])",
        ),
        (
            "never builder enters Order.Live, Order.Held",
            "Never(- builder [StateName(Order Live) StateName(Order Held)])",
        ),
        ('never "t": builder enters A', "Never('t' builder [StateName(- A)])"),
        ("can reach Order.Done", "CanReach(- [StateName(Order Done)])"),
        ('can reach "t": A, B', "CanReach('t' [StateName(- A) StateName(- B)])"),
        ("Order.Live needs 2", "Needs(- StateName(Order Live) 2 - [] - [])"),
        (
            '"four eyes": Order.Live needs 2 of reviewer by Approve, Sign besides author since Push, New',
            "Needs('four eyes' StateName(Order Live) 2 reviewer [Approve Sign] author [Push New])",
        ),
        ("Order.Live needs limit besides author", "Needs(- StateName(Order Live) limit - [] author [])"),
        ("entity Order", "Entity(Order [])"),
        (
            (
                "upgrade from 3\n  Rollout\n    Paused becomes Halted\n"
                '    set x = "y", n += 1\n    drop old\n  Other\n    drop a, b'
            ),
            (
                "Upgrade(3 [UpgradeEntity(Rollout [Becomes(Paused Halted) Set([SetItem(x '=' 'y' -) SetItem(n "
                "'+=' 1 -)]) Drop(old)]) UpgradeEntity(Other [Drop(a) Drop(b)])])"
            ),
        ),
        (
            "upgrade from 3\n  Rollout Paused becomes Halted",
            "Upgrade(3 [UpgradeEntity(Rollout [Becomes(Paused Halted)])])",
        ),
        ("upgrade from 3", "Upgrade(3 [])"),
    ],
)
def test_declaration(text: str, found: str) -> None:
    """One row, one declaration at the left edge."""
    assert declaration(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("states A, B", "States([A B])"),
        ("states A,\n  B", "States([A B])"),
        ("final A", "Final([A])"),
        ("group Open = A, B", "Group(Open [A B])"),
        ("name: string", "Field(name string -)"),
        ("moved: int 0..64 = 0", "Field(moved int0..64 0)"),
        (
            "key: string\nfrom: time\ntimeout: duration\nstates: int",
            "Field(key string -) Field(from time -) Field(timeout duration -) Field(states int -)",
        ),
        (
            "count: int\nfirst: int\nsize: int\nset: int",
            "Field(count int -) Field(first int -) Field(size int -) Field(set int -)",
        ),
        ("let total = sum(l in lines: l.n)", "Let(total Quantifier('sum' l lines l.n))"),
        ("let x =\n  a + b", "Let(x (a + b))"),
        ("disputes: every Dispute.payment max 8", "Inverse(disputes Dispute payment 8)"),
        ("disputes: every Dispute.payment", "Inverse(disputes Dispute payment -)"),
        ("every: int", "Field(every int -)"),
        ("unique a", "Unique([a] False)"),
        ("unique (a, b) ever", "Unique([a b] True)"),
        ("unique a ever", "Unique([a] True)"),
        ("key a", "Key([a])"),
        ("key (a, b)", "Key([a b])"),
        ("by operator, owner, item.holder", "By([operator owner item.holder])"),
        ("by anyone", "By([anyone])"),
        ("action Go", "Action(Go [] [])"),
        ("action Go by a", "Action(Go [] [By([a])])"),
        (
            "action Go(a, b: int, c: int = 5, d: string?) by x from new to A",
            "Action(Go [Param(a - -) Param(b int -) Param(c int 5) Param(d string? -)] [By([x]) From([new] A [])])",
        ),
        ("action Go() by system from A, B", "Action(Go [] [By([system]) From([A B] - [])])"),
        (
            'action Go by x from A to B when y else "no" set z = 1 emit E',
            "Action(Go [] [By([x]) From([A] B [When(y 'no') Set([SetItem(z '=' 1 -)]) Emit(E [])])])",
        ),
        ("action Go by x when a set b", "Action(Go [] [By([x]) When(a -) Set([SetItem(b 'copy' - -)])])"),
        (
            (
                'action Go by x\n  from A to B when y else "no"\n    by z\n    set a = 1\n'
                "  from any to C set b\n  from all\n  set c"
            ),
            (
                "Action(Go [] [By([x]) From([A] B [When(y 'no') By([z]) Set([SetItem(a '=' 1 -)])]) From([any] "
                "C [Set([SetItem(b 'copy' - -)])]) From([all] - []) Set([SetItem(c 'copy' - -)])])"
            ),
        ),
        (
            "action Go by x from A to B\n  set a",
            "Action(Go [] [By([x]) From([A] B []) Set([SetItem(a 'copy' - -)])])",
        ),
        (
            "action Go from A to B by x when y\n  set z",
            "Action(Go [] [From([A] B [By([x]) When(y -)]) Set([SetItem(z 'copy' - -)])])",
        ),
        (
            "action Go by x for y in ys:\n  set a\n  emit E",
            "Action(Go [] [By([x]) For(y ys [Set([SetItem(a 'copy' - -)]) Emit(E [])])])",
        ),
        ("in A, B on entry set x", "In([A B] [OnEntry(Set([SetItem(x 'copy' - -)]))])"),
        (
            (
                'in A\n  on entry do Go\n  on exit emit E\n  after 30m do Halt("x")\n'
                "  at due do Go\n  every if a then 1h else 2h do Go\n"
                "  whenever a.state is B do Go(1)\n  late A, B ignore\n  late C do D(x)\n"
                "  defer E, F"
            ),
            (
                "In([A] [OnEntry(Do(Invoke(Go []))) OnExit(Emit(E [])) After(1800000ms Invoke(Halt ['x'])) "
                "At(due Invoke(Go [])) Every(IfExpr(a 3600000ms 7200000ms) Invoke(Go [])) Whenever(Is(a.state "
                "False B -) Invoke(Go [1])) Late([A B] -) Late([C] Invoke(D [x])) Defer([E F])])"
            ),
        ),
        (
            "in A on entry call a.b(1) then B\n  else C",
            "In([A] [OnEntry(Call([a b] [1] Invoke(B []) Invoke(C []) -))])",
        ),
        ("in A on entry\n  set x\n  emit E", "In([A] [OnEntry(Set([SetItem(x 'copy' - -)])) OnEntry(Emit(E []))])"),
        ("in A on entry if x: set y", "In([A] [OnEntry(If(x [Set([SetItem(y 'copy' - -)])]))])"),
        (
            "in A on entry if x:\n  set y\n  emit E",
            "In([A] [OnEntry(If(x [Set([SetItem(y 'copy' - -)]) Emit(E [])]))])",
        ),
        ("in A on entry set x late B ignore", "In([A] [OnEntry(Set([SetItem(x 'copy' - -)])) Late([B] -)])"),
        ("in A, B late Go, Halt ignore", "In([A B] [Late([Go Halt] -)])"),
        ("late A ignore", "Late([A] -)"),
        ("late A do B(c)", "Late([A] Invoke(B [c]))"),
        ("defer A, B", "Defer([A B])"),
        ("always a <= b", "Always(- (a <= b))"),
        ("eventually A leads to B, C", "Eventually(- [StateName(- A)] [StateName(- B) StateName(- C)] [])"),
        ("never x enters A", "Never(- x [StateName(- A)])"),
        ("can reach A", "CanReach(- [StateName(- A)])"),
        ("A needs 2 of x", "Needs(- StateName(- A) 2 x [] - [])"),
        ('"t": A needs 2', "Needs('t' StateName(- A) 2 - [] - [])"),
    ],
)
def test_line_of_an_entity(text: str, found: str) -> None:
    """One row, one line of an entity or several."""
    assert part_of_entity(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("by a, b.c", "By([a b.c])"),
        ("when a", "When(a -)"),
        ('when a else "no"', "When(a 'no')"),
        ('when a and\n  b\n  else "no"', "When((a and b) 'no')"),
        ("when a\n  and b", "When((a and b) -)"),
        ('when if a then b else c else "no"', "When(IfExpr(a b c) 'no')"),
        ("let x = a", "Let(x a)"),
        ("set a = b", "Set([SetItem(a '=' b -)])"),
        (
            'set a += 1, b -= c, d, m["k"] = v',
            "Set([SetItem(a '+=' 1 -) SetItem(b '-=' c -) SetItem(d 'copy' - -) SetItem(m '=' v 'k')])",
        ),
        ("set a = b,\n  c = d", "Set([SetItem(a '=' b -) SetItem(c '=' d -)])"),
        ("set a, b", "Set([SetItem(a 'copy' - -) SetItem(b 'copy' - -)])"),
        ("call a.b", "Call([a b] [] - - -)"),
        ("call a.b.c(1, x: 2) then D", "Call([a b c] [1 x:2] Invoke(D []) - -)"),
        (
            "call a.b() then D(result.x) else E(error.text) unknown F",
            "Call([a b] [] Invoke(D [result.x]) Invoke(E [error.text]) Invoke(F []))",
        ),
        ("call a.b\n  then D\n  else E\n  unknown _", "Call([a b] [] Invoke(D []) Invoke(E []) Nothing())"),
        ("call a.b then _ unknown _", "Call([a b] [] Nothing() - Nothing())"),
        ("call a.b unknown A then B", "Call([a b] [] Invoke(B []) - Invoke(A []))"),
        ("send x.Go", "Send(x Invoke(Go []))"),
        ("send x.y.Go(1)", "Send(x.y Invoke(Go [1]))"),
        ("send m[k].Go", "Send(Index(m k) Invoke(Go []))"),
        ("send m[f(x).y].z.Go(a.b)", "Send(Index(m Apply(f [x]).y).z Invoke(Go [a.b]))"),
        ("send first(x in s: x.a).Go", "Send(Quantifier('first' x s x.a) Invoke(Go []))"),
        ("send (a ?? b).Go(1)", "Send((a ?? b) Invoke(Go [1]))"),
        ("with x.Go(a: 1)", "With(x Invoke(Go [a:1]))"),
        ("create E.New(1) as d", "Create(E Invoke(New [1]) d)"),
        ("create E.New", "Create(E Invoke(New []) -)"),
        ("emit Paid", "Emit(Paid [])"),
        ("emit Paid(order: this)", "Emit(Paid [order:this])"),
        ("for x in xs: send x.Go", "For(x xs [Send(x Invoke(Go []))])"),
        ("for x in xs:\n  send x.Go\n  emit E", "For(x xs [Send(x Invoke(Go [])) Emit(E [])])"),
        ("for x in xs: for y in x.ys: emit E(y)", "For(x xs [For(y x.ys [Emit(E [y])])])"),
        ("for x in xs: if x.a:\n  emit E\n  emit F", "For(x xs [If(x.a [Emit(E []) Emit(F [])])])"),
        ("if a: set b", "If(a [Set([SetItem(b 'copy' - -)])])"),
        (
            "if a:\n  set b\n  if c: set d",
            "If(a [Set([SetItem(b 'copy' - -)]) If(c [Set([SetItem(d 'copy' - -)])])])",
        ),
        ("if all x in xs: x.a: set b", "If(Quantifier('all' x xs x.a) [Set([SetItem(b 'copy' - -)])])"),
        ("do Go(1)", "Do(Invoke(Go [1]))"),
        ("do Go", "Do(Invoke(Go []))"),
        ("from A to B", "From([A] B [])"),
        ("from new to A", "From([new] A [])"),
        ("from any", "From([any] - [])"),
        ("from A, B to C by x when y set z", "From([A B] C [By([x]) When(y -) Set([SetItem(z 'copy' - -)])])"),
    ],
)
def test_part_of_an_action(text: str, found: str) -> None:
    """One row, one part of an action on deeper lines."""
    assert part_of_action(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("operator(ann) r.Start -> Rolling", "Act([operator] ann - r Invoke(Start []) [BecomesState(Rolling)] -)"),
        (
            'builder(bob) r = Rollout.Plan(cluster: "h") -> Planned',
            "Act([builder] bob r Rollout Invoke(Plan [cluster:'h']) [BecomesState(Planned)] -)",
        ),
        ("builder(bob) Rollout.Plan -> r", "Act([builder] bob - Rollout Invoke(Plan []) [Names(r)] -)"),
        ("agent(bot for ann) r.Start", "Act([agent] bot - r Invoke(Start []) [] ann)"),
        ("agent, builder(bot for ann) r.Start", "Act([agent builder] bot - r Invoke(Start []) [] ann)"),
        ("operator, builder(bob) r.Start", "Act([operator builder] bob - r Invoke(Start []) [] -)"),
        (
            "system r.Moved -> r is Halted, r.moved == 1",
            "Act([system] - - r Invoke(Moved []) [Holds(Is(r False Halted -)) Holds((r.moved == 1))] -)",
        ),
        ("operator(ann) r.Start -> any", "Act([operator] ann - r Invoke(Start []) [Anything()] -)"),
        ("operator(ann) r.Start -> denied", "Act([operator] ann - r Invoke(Start []) [Denied()] -)"),
        ("operator(ann) r.Start -> refused", "Act([operator] ann - r Invoke(Start []) [RefusedWith(-)] -)"),
        (
            'operator(ann) r.Start -> refused "no case"',
            "Act([operator] ann - r Invoke(Start []) [RefusedWith('no case')] -)",
        ),
        (
            "operator(ann) r.Start -> A -> r.x == 1",
            "Act([operator] ann - r Invoke(Start []) [BecomesState(A) Holds((r.x == 1))] -)",
        ),
        ("operator(ann) r.Start\n  -> A", "Act([operator] ann - r Invoke(Start []) [BecomesState(A)] -)"),
        ("given Rollout r(state: Rolling, moved: 1)", "Given(Rollout r [state:Rolling moved:1])"),
        ("given Rollout r", "Given(Rollout r [])"),
        (
            'kubernetes.set_partition fails "quota" -> r is Halted',
            "ToolDoes([kubernetes set_partition] 'fails' 'quota' [] [Holds(Is(r False Halted -))])",
        ),
        ("kubernetes.set_partition fails", "ToolDoes([kubernetes set_partition] 'fails' - [] [])"),
        ('a.b answers (url: "x")', "ToolDoes([a b] 'answers' - [url:'x'] [])"),
        ("a.b answers", "ToolDoes([a b] 'answers' - [] [])"),
        ("a.b times out -> A", "ToolDoes([a b] 'times_out' - [] [BecomesState(A)])"),
        ("wait 30m", "Wait(1800000ms [])"),
        ("wait 30m -> Halted", "Wait(1800000ms [BecomesState(Halted)])"),
        ("r.moved == 1", "Check((r.moved == 1))"),
        ("size(r.xs) == 1 and r is Halted", "Check(((Apply(size [r.xs]) == 1) and Is(r False Halted -)))"),
        ("emitted Paid", "Emitted(Paid [])"),
        ("emitted Paid(order: r)", "Emitted(Paid [order:r])"),
        ("given == 1", "Check((given == 1))"),
        ("wait.x == 1", "Check((wait.x == 1))"),
    ],
)
def test_step_of_a_scenario(text: str, found: str) -> None:
    """One row, one step."""
    assert step(text) == found


def test_the_example_of_the_language_page_has_no_problems() -> None:
    example = re.search(r"```blueprint\n(blueprint helix\n.*?)```", LANGUAGE.read_text(), re.DOTALL)
    assert example is not None
    file, problems = parse(Source("helix.blueprint", example[1]))
    assert problems == ()
    assert file.name == tree.Name("helix")
    assert [type(each).__name__ for each in file.declarations] == ["Role", "Excludes", "Tool", "Entity"]
    entity = file.declarations[-1]
    assert isinstance(entity, tree.Entity)
    assert len(entity.parts) == 20
    assert entity.description == "Rolls a build out through its StatefulSet, one broker at a time."


# --- rulings ----------------------------------------------------------------------------------------------------------


def test_ruling_05_a_from_on_the_actions_own_line_is_its_only_case() -> None:
    """What follows on that line is the case's; what stands below it is the action's."""
    assert part_of_entity("action Go by a from A to B set x\n  set y") == (
        "Action(Go [] [By([a]) From([A] B [Set([SetItem(x 'copy' - -)])]) Set([SetItem(y 'copy' - -)])])"
    )
    _, problems = parse(Source("f", "blueprint x\nentity E\n  action Go by a from A to B\n    from B to A\n"))
    assert [problem.code for problem in problems] == [Code.B073]


def test_ruling_27_a_body_reaches_as_far_right_as_it_can() -> None:
    assert expression("all x in s: a and b implies c") == "Quantifier('all' x s ((a and b) implies c))"
    assert expression("{x in s: a or b}") == "Filter(x s (a or b))"
    assert expression("if a then b else c or d") == "IfExpr(a b (c or d))"


def test_ruling_27_implies_groups_to_the_right_and_comparisons_do_not_chain() -> None:
    assert expression("a implies b implies c") == "(a implies (b implies c))"
    assert [problem.code for problem in parse_expression("a == b == c")[1]] == [Code.B053]


def test_ruling_27_else_belongs_to_if_when_and_call() -> None:
    assert part_of_action('when if a then b else c else "no"') == "When(IfExpr(a b c) 'no')"
    assert part_of_action("call a.b else C") == "Call([a b] [] - Invoke(C []) -)"
    _, problems = parse(Source("f", "blueprint x\nentity E\n  action Go\n    if a: set b\n    else: set c\n"))
    assert [problem.code for problem in problems] == [Code.B055]


def test_ruling_27_action_is_reserved() -> None:
    _, problems = parse(Source("f", "blueprint x\nentity E\n  action: string\n"))
    assert [problem.code for problem in problems] == [Code.B021]


# --- comments and blank lines -----------------------------------------------------------------------------------------


def test_comments_stay_with_what_they_stand_at() -> None:
    file = read(
        """\
# far above

# above the role
#
#   deeper
role a  # beside the role

# above the entity
entity E

  # above the states
  states A,  # within the states
    B
  # below nothing deeper
    # below the states
  x: int
    # below x

  # at the end of E
# above the last role
role b
# at the end
  # too"""
    )
    role, entity, last = file.declarations
    assert isinstance(entity, tree.Entity)
    assert role.trivia == tree.Trivia(
        above=("above the role", "", "  deeper"), detached=(("far above",),), beside="beside the role"
    )
    assert role.description == "above the role\n\n  deeper"
    assert entity.trivia == tree.Trivia(above=("above the entity",), below=("at the end of E",), blank_before=True)
    states, x = entity.parts
    assert states.trivia == tree.Trivia(above=("above the states",), beside="within the states", blank_before=True)
    assert x.trivia == tree.Trivia(above=("below nothing deeper", "below the states"), below=("below x",))
    assert last.trivia == tree.Trivia(above=("above the last role",), blank_before=False)
    assert file.trivia == tree.Trivia(below=("at the end", "too"))


@pytest.mark.parametrize(
    "text",
    [
        "# {}\nblueprint x  # {}\n# {}\n\n# {}\n",
        "# {}\n\n# {}\nrole a # {}",
        "blueprint x\nentity E # {}\n  # {}\n\n  # {}\n",
        "blueprint x\nconst a = [ # {}\n  # {}\n  1, # {}\n  2 # {}\n  # {}\n] # {}\n",
        "blueprint x\nentity E\n  in A # {}\n    # {}\n    on entry call a.b # {}\n      # {}\n      then C # {}\n",
        (
            "blueprint x\nentity E\n  in A\n    on entry # {}\n      # {}\n      set a # {}\n      # {}\n"
            "      set b # {}\n      # {}\n"
        ),
        "blueprint x\nentity E\n    # {}\n  # {}\n # {}\n  x: int\n        # {}\n   # {}\n",
        (
            'blueprint x\nscenario "s" # {}\n  # {}\n  wait 3m # {}\n# {}\n'
            "upgrade from 3 # {}\n  E # {}\n    drop a # {}\n    # {}\n"
        ),
        (
            "blueprint x\nentity E\n  action Go # {}\n    from A to B # {}\n      # {}\n"
            "      set x # {}\n      # {}\n    # {}\n"
        ),
        "# {}",
        "blueprint x\n\n# {}\n",
    ],
)
def test_no_comment_is_lost(text: str) -> None:
    """Each `{}` is a comment of its own."""
    count = text.count("{}")
    names = [f"c{number}" for number in range(count)]
    file, _ = parse(Source("f", text.format(*names)))
    assert sorted(comments(file)) == sorted(names)


def comments(node: object) -> list[str]:
    """All comments in a tree."""
    if isinstance(node, tuple):
        return [comment for each in node for comment in comments(each)]
    if not isinstance(node, tree.Node):
        return []
    found: list[str] = []
    if isinstance(node, tree.Line):
        trivia = node.trivia
        found += [*trivia.above, *trivia.below, *(comment for block in trivia.detached for comment in block)]
        found += [] if trivia.beside is None else [trivia.beside]
    slots = {name for kind in type(node).__mro__ for name in getattr(kind, "__slots__", ())}
    return found + [comment for name in sorted(slots) for comment in comments(getattr(node, name))]


# --- places -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("a + b * c", {"Binary": ["a + b * c", "b * c"], "Ref": ["a", "b", "c"]}),
        ("(a or b) and not c", {"Binary": ["(a or b) and not c", "a or b"], "Unary": ["not c"]}),
        ("x.y[0].z", {"Dot": ["x.y[0].z", "x.y"], "Index": ["x.y[0]"]}),
        ("size({x in s: x})", {"Apply": ["size({x in s: x})"], "Filter": ["{x in s: x}"], "Arg": ["{x in s: x}"]}),
        ("state is not A", {"Is": ["state is not A"], "Name": ["state", "A"]}),
        ("a not in (B, C)", {"OneOfNames": ["(B, C)"]}),
        ("all x in s: x", {"Quantifier": ["all x in s: x"]}),
    ],
)
def test_spans_cover_what_was_written(text: str, spans: dict[str, list[str]]) -> None:
    """One row, one expression: what the spans of each class cover."""
    expr, _ = parse_expression(text)
    source = Source("<expression>", text)
    found: dict[str, list[str]] = {}

    def walk(node: object) -> None:
        if isinstance(node, tuple):
            for each in node:
                walk(each)
        elif isinstance(node, tree.Node):
            found.setdefault(type(node).__name__, []).append(source.slice(node.span))
            for name in dict.fromkeys(name for kind in type(node).__mro__ for name in getattr(kind, "__slots__", ())):
                walk(getattr(node, name))

    walk(expr)
    for kind, texts in spans.items():
        assert sorted(found[kind]) == sorted(texts)


# --- bundles, ends of lines, and expressions by themselves ------------------------------------------------------------


def test_the_files_of_a_bundle_are_read_in_the_order_of_their_paths() -> None:
    files = [Source("b", "blueprint x\nrole b\n"), Source("a", "blueprint x\nrole a\n")]
    found, problems = parse_bundle(files)
    assert problems == ()
    assert [shape(file.declarations) for file in found.files] == ["[Role([a])]", "[Role([b])]"]
    assert parse_bundle(reversed(files)) == (found, ())


def test_the_files_of_a_bundle_bear_one_name() -> None:
    _, problems = parse_bundle([Source("a", "blueprint x\n"), Source("b", "blueprint y\n"), Source("c", "role a\n")])
    assert [(problem.primary.span.file, problem.code) for problem in problems] == [("c", Code.B030), ("b", Code.B032)]


def test_line_ends_of_windows_and_a_byte_order_mark_change_nothing() -> None:
    text = 'blueprint x\n# why\nentity E  # what\n  x: int\n\n  y: string = "a"\n'
    plain, problems = parse(Source("f", text))
    other, problems_of_other = parse(Source("f", "\ufeff" + text.replace("\n", "\r\n")))
    assert (plain, problems) == (other, problems_of_other)
    assert problems == ()
    assert comments(other) == comments(plain) == ["why", "what"]


def test_an_expression_may_have_line_ends() -> None:
    assert expression("a\n  and b\nor c\n") == "((a and b) or c)"


@pytest.mark.parametrize("text", ["", "   ", "\n", "# why"])
def test_an_empty_expression_is_a_problem(text: str) -> None:
    expr, problems = parse_expression(text)
    assert isinstance(expr, tree.BadExpr)
    assert [problem.code for problem in problems] == [Code.B050]


@pytest.mark.parametrize("text", ["", "\n\n", "# a comment\n"])
def test_an_empty_file_has_no_blueprint_line(text: str) -> None:
    file, problems = parse(Source("f", text))
    assert file.name is None
    assert [problem.code for problem in problems] == [Code.B030]
