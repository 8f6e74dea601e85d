"""Ranks in PostgreSQL: an index for each order that lists are asked for, over what the entities' bodies say.

The database keeps it up with each append, whichever server it comes from. It is made beside the appends, when a list
first asks for it, and goes when sixteen others have been asked for since. What does not fit into an index is cut off:
texts that begin with the same thousand bytes stand in the order of their creation.

While entities of a kind are being carried over to another table their bodies are of several: there is no rank of it.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from temper.kernel import Codecs, StoreFault
from temper.runtime.postgres.line import Line, fault
from temper.runtime.ranks import RANKED_FROM, RANKS_MAX, Rank, Span, Spot, bounds
from temper.table import Type

if TYPE_CHECKING:
    import asyncpg

# An entry of an index has less than a third of a page.
PLACE_MAX = 1_000
# For so long it is taken that an index is there, or that a kind is small; while entities are carried over, for less.
_KNOWN_S = 60.0
_MOVING_S = 1.0

TABLE = """
create table if not exists ranks(
  name text primary key, kind text not null, field text not null, asked timestamptz not null default now()
);
"""

# As `rank_place` of the ranks in files has it, of a value as an entity's body writes it. What is not of that form, as
# one that was final before the field had this type, stands with those who have none: nothing that is appended may fail
# for an index. `jsonb` takes no NUL, and so it is another character that sorts next to it.
_PLACE = rf"""(body bytea, field text, form text) returns bytea language plpgsql immutable parallel safe as $$
declare
  whole text := convert_from(body, 'UTF8');
  value jsonb;
  written text;
  size numeric;
  digits text := '';
  power bigint;
begin
  if position('\u0000' in whole) > 0 then
    whole := regexp_replace(whole, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\u0001', 'g');
  end if;
  value := case when field = 'updated_at' then whole::jsonb -> field else whole::jsonb -> 'fields' -> field end;
  written := value #>> '{{}}';
  if written is null then
    return '\x00';
  elsif form = 'text' and jsonb_typeof(value) = 'string' then
    return substr('\x01'::bytea || convert_to(written, 'UTF8'), 1, {PLACE_MAX});
  elsif form = 'decimal' and written ~ '^-?[0-9]+([.][0-9]+)?$' then
    digits := ltrim(replace(ltrim(written, '-'), '.', ''), '0');
    if digits = '' then
      return '\x0101';
    end if;
    power := length(digits) - length(split_part(written, '.', 2)) + 2147483648;
    digits := lpad(to_hex(power), 8, '0') || encode(convert_to(rtrim(digits, '0'), 'UTF8'), 'hex') || '00';
    if written like '-%' then
      return substr(decode('0100' || translate(digits, '0123456789abcdef', 'fedcba9876543210'), 'hex'), 1, {PLACE_MAX});
    end if;
    return substr(decode('0102' || digits, 'hex'), 1, {PLACE_MAX});
  elsif form = 'bool' and jsonb_typeof(value) = 'boolean' then
    size := case when written = 'true' then 1 else 0 end;
  elsif form = 'int' and jsonb_typeof(value) = 'number' then
    size := written::numeric;
  elsif form = 'time' and written ~ '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9:.]+Z$' then
    size := trunc(extract(epoch from written::timestamptz) * 1000);
  elsif form = 'duration' and written ~ '^-?[0-9]+(ms|s|m|h|d)$' then
    size := substring(written from '^-?[0-9]+')::numeric * case substring(written from '[a-z]+$')
      when 'ms' then 1 when 's' then 1000 when 'm' then 60000 when 'h' then 3600000 else 86400000 end;
  else
    return '\x00';
  end if;
  if abs(size) < 9223372036854775808 then
    digits := ltrim(encode(int8send(abs(size)::bigint), 'hex'), '0');
  else
    written := trunc(abs(size))::text;
    while written <> '0' loop
      digits := lpad(to_hex(mod(written::numeric, 4294967296)::bigint), 8, '0') || digits;
      written := div(written::numeric, 4294967296)::text;
    end loop;
    digits := ltrim(digits, '0');
  end if;
  digits := case when length(digits) % 2 = 1 then '0' else '' end || digits;
  if size < 0 then
    return substr(decode('01' || lpad(to_hex(32768 - length(digits) / 2), 4, '0')
      || translate(digits, '0123456789abcdef', 'fedcba9876543210'), 'hex'), 1, {PLACE_MAX});
  end if;
  return substr(decode('01' || lpad(to_hex(32768 + length(digits) / 2), 4, '0') || digits, 'hex'), 1, {PLACE_MAX});
end $$;
"""
_PLACE_OF_TEXT = f"""(given text) returns bytea language plpgsql immutable parallel safe as $$
begin
  return substr('\\x01'::bytea || convert_to(given, 'UTF8'), 1, {PLACE_MAX});
end $$;
"""
PLACE = f"place_{sha256((_PLACE + _PLACE_OF_TEXT).encode()).hexdigest()[:12]}"
# One is for what a body says, the other for a column.
MAKE_PLACE = f"create function {PLACE}{_PLACE} create function {PLACE}{_PLACE_OF_TEXT}"
_PLACE_KNOWN = (
    "select exists(select from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
    " where n.nspname = $1 and p.proname = $2)"
)
_WHOLE = (
    "select i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid"
    " join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2"
)

_FORMS = {
    "bool": "bool", "int": "int", "decimal": "decimal", "string": "text", "time": "time", "duration": "duration",
    "one_of": "text", "principal": "text", "ref": "text",
}  # fmt: skip


class PostgresRanks:
    """The ranks of one space in a database, as one server knows them. Safe from any thread."""

    def __init__(self, line: Line, schema: str, codecs: Codecs, moving: Callable[[], bool]) -> None:
        self._line = line
        self._schema = schema
        self._codecs = codecs
        self._moving = moving
        self._lock = zlib.crc32(f"{schema}/ranks".encode())
        self._guard = threading.Lock()
        # Of each, whether it is there, until when that is taken for granted, and by which version.
        self._known: dict[tuple[str, str], tuple[bool, float, int]] = {}
        self._building: set[str] = set()
        self._problems: dict[str, StoreFault] = {}

    def find(self, kind: str, field: str) -> Rank | None:
        """Return the rank that was asked for, if it is whole. Asks nobody."""
        return Rank(0, kind, field, None) if self._is_there(kind, field) is True else None

    def is_without(self, kind: str, field: str) -> bool:
        """Say whether there is none for now: the kind is small, or is being carried over. Asks nobody."""
        return self._is_there(kind, field) is False

    def _is_there(self, kind: str, field: str) -> bool | None:
        there, until, number = self._known.get((kind, field), (False, 0.0, 0))
        return there if number == self._codecs.current and time.monotonic() < until else None

    def make(self, kind: str, field: str) -> bool:
        """Begin a rank where it is not there; say whether it is still being made. Raises `StoreFault`."""
        number = self._codecs.current
        if self._carried_over(kind):
            self._note(kind, field, number, _MOVING_S, there=False)
            return False
        name = self._name(kind, field)
        whole = self._line.one(_WHOLE, self._schema, name)
        if whole:
            self._line.one("update ranks set asked = now() where name = $1 returning name", name)
            self._note(kind, field, number, _KNOWN_S, there=True)
            return False
        if whole is None and self._is_small(kind):
            self._note(kind, field, number, _KNOWN_S, there=False)
            return False
        with self._guard:
            problem = self._problems.pop(name, None)
            begins = name not in self._building
            if problem is None and begins:
                self._building.add(name)
        if problem is not None:
            raise problem
        if begins:
            self._line.begin(lambda: self._build(name, kind, field))
        return True

    def _note(self, kind: str, field: str, number: int, seconds: float, *, there: bool) -> None:
        self._known = {**self._known, (kind, field): (there, time.monotonic() + seconds, number)}

    def _carried_over(self, kind: str) -> bool:
        if not self._moving():
            return False
        steps = (self._codecs.moving(later) for later in range(2, self._codecs.current + 1))
        return any(kind == each for step in steps for each, _ in step.touched | step.asked)

    def _is_small(self, kind: str) -> bool:
        there: int = self._line.one(
            "select count(*) from (select from entities where kind = $1 and state <> '' limit $2) x",
            kind,
            RANKED_FROM + 1,
        )
        return there <= RANKED_FROM

    # --- the index ---

    def _name(self, kind: str, field: str) -> str:
        told = f"{self._of(kind, field)} {_there(kind)}"
        return f"rank_{sha256(told.encode()).hexdigest()[:20]}"

    def _of(self, kind: str, field: str) -> str:
        """Return the place of an entity, as an expression of SQL: a kind and a field are names of ours."""
        if field in ("id", "state"):
            return f"{PLACE}({field})"
        return f"{PLACE}(body, '{field}', '{self._form(kind, field)}')"

    def _form(self, kind: str, field: str) -> str:
        if field in ("id", "state"):
            return "text"
        if field == "updated_at":
            return "int"
        table = self._codecs.of(self._codecs.current).table
        found: Type = next((each.type for each in table.entities[kind].fields if each.name == field), ("string",))
        while found[0] == "optional":
            found = found[1]
        return _FORMS[found[0]]

    async def _build(self, name: str, kind: str, field: str) -> None:
        """Have the database make the index. Appends go on meanwhile; of several servers one does it."""
        connection = None
        try:
            connection = await self._line.connect()
            if await connection.fetchval("select pg_try_advisory_lock($1)", self._lock):
                await self._built(connection, name, kind, field)
        except StoreFault as problem:
            self._problems[name] = problem
        except Exception as problem:  # noqa: BLE001 - whoever asks next is told
            self._problems[name] = fault(problem)
        finally:
            with self._guard:
                self._building.discard(name)
            if connection is not None:
                connection.terminate()  # Its lock goes with it.

    async def _built(self, db: asyncpg.Connection[Any], name: str, kind: str, field: str) -> None:
        whole = await db.fetchval(_WHOLE, self._schema, name)
        if whole:
            return
        await db.execute(TABLE)
        if not await db.fetchval(_PLACE_KNOWN, self._schema, PLACE):
            await db.execute(MAKE_PLACE)  # Both in one commit.
        if whole is False:  # Whoever made it died at it.
            await db.execute(f"drop index concurrently {name}")
        known = await db.fetch(
            "select name from ranks where name <> $1 order by asked desc offset $2", name, RANKS_MAX - 1
        )
        for (old,) in known:
            await db.execute(f"drop index concurrently if exists {old}")
            await db.execute("delete from ranks where name = $1", old)
        await db.execute(
            "insert into ranks(name, kind, field) values($1, $2, $3) on conflict(name) do update set asked = now()",
            name, kind, field,
        )  # fmt: skip
        await db.execute(
            f"create index concurrently {name} on entities(({self._of(kind, field)}), row) where {_there(kind)}"
        )

    # --- reading ---

    def page(self, rank: Rank, span: Span, after: Spot | None, limit: int, *, downwards: bool) -> Sequence[Any]:
        """Return the next so many rows of a whole rank: their place, row, id, number and body."""
        low, high = bounds(self._cut(rank, span)[0])
        if after is not None and downwards:
            high = (*after, False)
        elif after is not None:
            low = (*after, False)
        where, given = self._within(rank, low, high)
        place, way = self._of(rank.kind, rank.field), "desc" if downwards else "asc"
        return self._line.rows(
            f"select {place} as place, row, id, number, body from entities"  # noqa: S608 - no value is in it
            f" where {where} order by {place} {way}, row {way} limit ${len(given) + 1}",
            *given,
            limit,
        )

    def count(self, rank: Rank, span: Span, most: int) -> int | None:
        """Return how many of a whole rank are within the span, `most + 1` for more; `None` where it can't tell."""
        cut, exactly = self._cut(rank, span)
        if not exactly:
            return None
        where, given = self._within(rank, *bounds(cut))
        found: int = self._line.one(
            f"select count(*) from (select from entities where {where} limit ${len(given) + 1}) x",  # noqa: S608 - no value is in it
            *given,
            most + 1,
        )
        return found

    def _cut(self, rank: Rank, span: Span) -> tuple[Span, bool]:
        """Return a span of places as the index has them, and whether it is the same span."""
        texts = self._form(rank.kind, rank.field) == "text"

        def of(place: bytes | None) -> bytes | None:
            if place is None or not texts:
                return None if place is None else place[:PLACE_MAX]
            return (place[:1] + place[1:].replace(b"\x00", b"\x01"))[:PLACE_MAX]

        def sure(place: bytes | None) -> bool:
            return place is None or (
                len(place) < PLACE_MAX and not (texts and (b"\x00" in place or b"\x01" in place[1:]))
            )

        if sure(span.low) and sure(span.high):
            return span, True
        return Span(of(span.low), of(span.high)), False

    def _within(self, rank: Rank, low: Any, high: Any) -> tuple[str, list[Any]]:
        conditions, place = [_there(rank.kind)], self._of(rank.kind, rank.field)
        given: list[Any] = []
        for end, way in ((low, ">"), (high, "<")):
            if end is not None:
                there = f"(${len(given) + 1}::bytea, ${len(given) + 2}::bigint)"
                conditions.append(f"({place}, row) {way}{'=' if end[2] else ''} {there}")
                given += end[:2]
        return " and ".join(conditions), given


def _there(kind: str) -> str:
    return f"kind = '{kind}' and state <> ''"
