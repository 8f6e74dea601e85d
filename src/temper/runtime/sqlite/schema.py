"""The tables of a space in a file: what they are called, and of which format a file is."""

from __future__ import annotations

# 1 had no hashes in its log, and no marks; 3 is a file of which something was put away; in one of 4, what entities are
# found by stands under labels. A file has the least number that it can, so that an older Temper opens what it can read.
FORMAT = 2
FORMAT_ARCHIVED = 3
FORMAT_LABELLED = 4
FORMAT_LAST = FORMAT_LABELLED
# Said with the format that a file needs from now on.
RAISE_FORMAT = "update meta set value = ?1 where name = 'format' and value < ?1"
APPLICATION_ID = 0x54656D70  # "Temp", so that `file` and a curious operator can tell.

# What entities are found by: their `key`, what is `unique` of them, and what they refer to.
HELD = """
create table holds(
  kind text not null, number integer not null, value text not null, row integer not null,
  primary key(kind, number, value)
) without rowid;
create index holds_of_row on holds(row);
create table keys(
  kind text not null, value text not null, row integer not null, primary key(kind, value)
) without rowid;
"""
REFERRED = """
create table if not exists refs(
  kind text not null, field text not null, target text not null, row integer not null,
  primary key(kind, field, target, row)
) without rowid;
create index if not exists refs_of_row on refs(row);
"""
SCHEMA = f"""
create table meta(name text primary key, value) without rowid;
create table log(seq integer primary key, entity integer, body blob not null, hash blob not null);
create index log_of_entity on log(entity, seq) where entity is not null;
create table entities(
  row integer primary key, kind text not null, id text not null, state text not null, live integer not null,
  due integer, version integer not null, body blob not null
);
create unique index entities_by_id on entities(kind, id);
create index entities_by_state on entities(kind, state);
create index entities_due on entities(due) where due is not null;
{HELD}create table orders(
  row integer primary key, name text not null unique, kind text not null, entity text not null, id text not null,
  tool text, args blob not null, send blob, version integer not null, state text not null, attempts integer not null,
  next_at integer not null, created_at integer not null, lane integer not null, pair text, unsure integer not null,
  last_error text not null
);
create index orders_of_entity on orders(entity, id);
create index orders_calls on orders(tool, next_at) where kind = 'call' and state = 'waiting';
create index orders_sends on orders(pair, lane) where kind = 'send' and state = 'waiting';
create index orders_started on orders(row) where state = 'started';
create table requests(
  row integer primary key, name text not null unique, fingerprint text not null, seq integer not null,
  at integer not null, kind text, id text, version integer, body blob
);
create table letters(
  row integer primary key, name text not null unique, entity text not null, id text not null, text text not null,
  at integer not null
);
create table versions(
  number integer primary key, digest text not null, body blob not null, report blob not null, at integer not null,
  author text not null, note text not null
);
create table marks(
  entity integer not null, seq integer not null, version integer not null, body blob not null, primary key(entity, seq)
) without rowid;
insert into meta values('format', {FORMAT});
pragma application_id = {APPLICATION_ID};
"""
# Files that are older have neither: no table before asked for them.
WATCHING = f"""
{REFERRED}create table if not exists stirs(
  row integer primary key, owner text not null, kind text not null, id text not null, path text not null,
  caller blob not null, after integer not null, unique(owner, kind, id, path)
);
"""
# Whom the archive has, and where. Their rows have no state and no body, and the log the digests of their entries.
ARCHIVE = """
create table if not exists segments(number integer primary key, sum text not null, size integer not null);
create table if not exists archived(
  row integer primary key, segment integer not null, place integer not null, size integer not null
);
"""
# How many there are of each kind in each state, kept with them: counting a million takes too long for a list.
POPULATIONS = """
create table populations(
  kind text not null, state text not null, number integer not null, primary key(kind, state)
) without rowid;
insert into populations select kind, state, count(*) from entities group by kind, state;
create trigger entities_made after insert on entities begin
  insert into populations values(new.kind, new.state, 1) on conflict do update set number = number + 1;
end;
create trigger entities_moved after update of state on entities when old.state <> new.state begin
  update populations set number = number - 1 where kind = old.kind and state = old.state;
  insert into populations values(new.kind, new.state, 1) on conflict do update set number = number + 1;
end;
"""
