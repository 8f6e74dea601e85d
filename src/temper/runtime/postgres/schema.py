"""The tables of a space in PostgreSQL, and the one function that writes to them.

Everything that a batch does is one call of `append`, and so one round trip and one commit. What it does in order:

1. looks whether the batch's table is the one in force, and holds that so until the commit (a swap takes the same
   advisory lock alone);
2. locks the partitions that are written, and in shared mode those that are only read, in the order of their numbers:
   so nothing deadlocks, and whatever was read of an entity stays so until the commit. The partition of whoever is
   referred to is locked like one that is written where a reference comes or goes, so that a set that was read
   stays so, too;
3. looks whether the server still leases the partitions that it decides for (an epoch, raised by each new lease);
4. looks whether all that was read is still so;
5. looks whether each partition's log ends where the entries go on: numbered densely, and chained by their hashes (see
   `runtime.chain`). Whoever appends has worked both out beforehand, from the end that it knows; where that has become
   another, it is told which, and works them out anew. So nothing is hashed while locks are held;
6. writes.
"""

from __future__ import annotations

from hashlib import sha256

FORMAT = 1

# What the function below says when nothing was appended; of class TM, which PostgreSQL leaves to others.
STALE = "TM001"
LOST = "TM002"
SUPERSEDED = "TM003"
MOVED = "TM004"

# A page of entities is half empty for what its own become: then no index has to be told of it, and each change takes a
# fifth less of the database's time.
TABLES = """
create table meta(name text primary key, value bigint not null);
create table partitions(
  part integer primary key, seq bigint not null default 0, epoch bigint not null default 0, owner text,
  until timestamptz, moved bigint, head bytea not null default decode(repeat('00', 32), 'hex')
);
create table batches(server text primary key, id text not null, bases bigint[] not null);
create table log(
  part integer not null, seq bigint not null, entity bigint, body bytea not null, hash bytea not null,
  primary key(part, seq)
);
create index log_of_entity on log(entity, seq) where entity is not null;
create table entities(
  row bigint generated always as identity primary key, kind text not null, id text not null, part integer not null,
  state text not null, live boolean not null, due bigint, number integer not null, version bigint not null,
  body bytea not null, unique(kind, id)
) with (fillfactor = 50);
create index entities_by_state on entities(kind, state, row);
create index entities_due on entities(part, due) where due is not null;
create table marks(
  entity bigint not null, seq bigint not null, number integer not null, body bytea not null, primary key(entity, seq)
);
create table holds(
  kind text not null, number integer not null, value text not null, id text not null, primary key(kind, number, value)
);
create index holds_of on holds(kind, id);
create table keys(kind text not null, value text not null, id text not null, primary key(kind, value));
create table refs(
  kind text not null, field text not null, target text not null, row bigint not null,
  primary key(kind, field, target, row)
);
create index refs_of on refs(row);
create table stirs(
  row bigint generated always as identity primary key, part integer not null, owner text not null, kind text not null,
  id text not null, path text not null, caller bytea not null, after bigint not null, unique(owner, kind, id, path)
);
create table orders(
  row bigint generated always as identity primary key, name text not null unique, part integer not null,
  kind text not null, entity text not null, id text not null, tool text, args bytea not null, send bytea,
  number integer not null, state text not null, attempts integer not null, next_at bigint not null,
  created_at bigint not null, lane bigint not null, pair text, unsure boolean not null, last_error text not null
);
create index orders_of_entity on orders(entity, id);
create index orders_calls on orders(part, tool, next_at) where kind = 'call' and state = 'waiting';
create index orders_sends on orders(pair, lane) where kind = 'send' and state = 'waiting';
create index orders_started on orders(part) where state = 'started';
create table requests(
  row bigint generated always as identity primary key, name text not null unique, fingerprint text not null,
  at bigint not null, parts integer[] not null, seqs bigint[] not null, kind text, id text, number integer, body bytea
);
create table letters(
  row bigint generated always as identity primary key, name text not null unique, entity text not null,
  id text not null, text text not null, at bigint not null
);
create table versions(
  number integer primary key, digest text not null, body bytea not null, report bytea not null, at bigint not null,
  author text not null, note text not null
);
"""

# Whom it has has no state and no body in `entities`, and digests in the log. Spaces of earlier builds have it not.
ARCHIVE = "create table if not exists archived(row bigint primary key, body bytea not null)"

# Which labels stand for which kinds in `keys`, `holds` and `refs`: see `postgres.indexing`. Spaces of earlier builds
# have neither; what they have stands under the kinds' own names.
LABELS = """
create table if not exists labels(label text primary key, kind text not null, state text not null, server text);
create unique index if not exists labels_in_force on labels(kind) where state = 'in force';
create table if not exists keyed(
  label text not null, row bigint not null, value text not null, primary key(label, row)
);
"""

# How many of a kind are in which state: else to count a million is to look at each. Whoever writes to `entities` keeps
# it up, an earlier build's `append` too; in each partition by itself, since appends to two of them don't wait for one
# another. Spaces of earlier builds have it not.
COUNTS = """
create table counts(
  part integer not null, kind text not null, state text not null, number bigint not null, primary key(part, kind, state)
) with (fillfactor = 50);
create function count_made() returns trigger language plpgsql set search_path from current as $$
begin
  insert into counts as c select part, kind, state, count(*) from made group by part, kind, state
    order by part, kind, state
    on conflict(part, kind, state) do update set number = c.number + excluded.number;
  return null;
end $$;
create function count_changed() returns trigger language plpgsql set search_path from current as $$
begin
  insert into counts as c select part, kind, state, sum(one) from (
      select part, kind, state, 1 as one from after union all select part, kind, state, -1 from before
    ) x group by part, kind, state having sum(one) <> 0 order by part, kind, state
    on conflict(part, kind, state) do update set number = c.number + excluded.number;
  return null;
end $$;
create trigger made after insert on entities referencing new table as made
  for each statement execute function count_made();
create trigger changed after update on entities referencing old table as before new table as after
  for each statement execute function count_changed();
insert into counts select part, kind, state, count(*) from entities group by part, kind, state;
"""
COUNTED = "select to_regclass('counts') is not null"

# The parameters are columns: what belongs to one row stands at one place of each of its arrays.
_APPEND = """(
  b_server text, b_id text, b_at bigint, b_number integer, b_lock bigint, b_forget bigint, b_keep bigint,
  p_parts integer[], p_writes boolean[], p_epochs bigint[], p_seqs bigint[], p_heads bytea[], p_lasts bigint[],
  p_ends bytea[],
  r_kinds text[], r_ids text[], r_versions bigint[],
  s_kinds text[], s_fields text[], s_targets text[], s_limits integer[], s_founds text[],
  e_kinds text[], e_ids text[], e_parts integer[], e_states text[], e_lives boolean[], e_dues bigint[],
  e_befores bigint[], e_versions bigint[], e_bodies bytea[],
  w_kinds text[], w_ids text[], w_ats bigint[],
  l_parts integer[], l_seqs bigint[], l_kinds text[], l_ids text[], l_written boolean[], l_bodies bytea[],
  l_hashes bytea[],
  m_kinds text[], m_ids text[], m_seqs bigint[],
  u_kinds text[], u_ids text[], u_numbers integer[], u_values text[], u_firm boolean[],
  k_kinds text[], k_values text[], k_ids text[],
  f_kinds text[], f_ids text[], f_fields text[], f_targets text[], f_changed_kinds text[], f_changed_ids text[],
  o_names text[], o_parts integer[], o_kinds text[], o_entities text[], o_ids text[], o_tools text[], o_args bytea[],
  o_sends bytea[], o_states text[], o_attempts integer[], o_nexts bigint[], o_createds bigint[], o_lanes bigint[],
  o_pairs text[], o_unsures boolean[], o_errors text[],
  ended text[], unlettered text[],
  t_names text[], t_entities text[], t_ids text[], t_texts text[], t_ats bigint[],
  q_names text[], q_prints text[], q_parts text[], q_nths text[], q_kinds text[], q_ids text[], q_bodies bytea[],
  us_owners text[], us_kinds text[], us_ids text[], us_paths text[],
  st_parts integer[], st_owners text[], st_kinds text[], st_ids text[], st_paths text[], st_callers bytea[],
  st_afters bigint[]
) returns void language plpgsql as $$
declare
  found_ids text[];
  changed text[];
  ends jsonb;
  one integer;
  labels jsonb;
begin
  perform pg_advisory_xact_lock_shared(b_lock);
  if not exists (select from meta where name = 'version' and value = b_number) then
    raise exception 'another version is in force' using errcode = 'TM003';
  end if;
  if cardinality(s_kinds) + cardinality(k_kinds) + cardinality(u_kinds) + cardinality(f_changed_kinds) > 0 then
    select coalesce(jsonb_object_agg(l.kind, l.label), '{}') into labels from labels l where l.state = 'in force';
    if labels <> '{}' then
      s_kinds := array(select coalesce(labels->>x, x) from unnest(s_kinds) with ordinality as w(x, nth) order by nth);
      k_kinds := array(select coalesce(labels->>x, x) from unnest(k_kinds) with ordinality as w(x, nth) order by nth);
      u_kinds := array(select coalesce(labels->>x, x) from unnest(u_kinds) with ordinality as w(x, nth) order by nth);
    end if;
  end if;
  if false = any(p_writes) then
    for one in 1 .. cardinality(p_parts) loop
      if p_writes[one] then
        perform from partitions where part = p_parts[one] for no key update;
      else
        perform from partitions where part = p_parts[one] for share;
      end if;
    end loop;
  else
    perform from partitions where part = any(p_parts) order by part for no key update;
  end if;
  select min(w.part) filter (where w.epoch is distinct from coalesce(p.epoch, -1) and w.epoch is not null),
      jsonb_agg(jsonb_build_array(w.part, p.seq, encode(p.head, 'hex')))
        filter (where w.seq is distinct from p.seq or w.head is distinct from p.head)
    into one, ends
    from unnest(p_parts, p_writes, p_epochs, p_seqs, p_heads) as w(part, writes, epoch, seq, head)
    left join partitions p on p.part = w.part and w.writes where w.writes;
  if one is not null then
    raise exception 'the lease of a partition has passed to another' using errcode = 'TM002', detail = one::text;
  end if;
  select array_agg(r.kind || '/' || r.id) into changed
    from unnest(r_kinds, r_ids, r_versions) as r(kind, id, version)
    left join entities e on e.kind = r.kind and e.id = r.id where e.version is distinct from r.version;
  if changed is not null then
    raise exception 'what was read has changed' using errcode = 'TM001', detail = array_to_json(changed)::text;
  end if;
  for one in 1 .. cardinality(s_kinds) loop
    select array_agg(x.id order by x.row) into found_ids from (
      select e.id, e.row from refs r join entities e on e.row = r.row
      where r.kind = s_kinds[one] and r.field = s_fields[one] and r.target = s_targets[one]
      order by e.row limit s_limits[one]
    ) x;
    if coalesce(array_to_json(found_ids)::text, '[]')::jsonb is distinct from s_founds[one]::jsonb then
      raise exception 'a set that was read has changed' using errcode = 'TM001';
    end if;
  end loop;

  if ends is not null then
    raise exception 'the log of a partition has gone on' using errcode = 'TM004', detail = ends::text;
  end if;

  update partitions p set seq = w.last, head = w.ending
    from unnest(p_parts, p_writes, p_lasts, p_ends) as w(part, writes, last, ending)
    where p.part = w.part and w.writes and w.last > p.seq;
  if cardinality(e_kinds) > 0 then
    -- Who is changed has to be as it was read, and who is made must not be there: that is seen with its own writing.
    with changed as (
      update entities set state = e.state, live = e.live, due = e.due, number = b_number, version = e.version,
          body = e.body
        from unnest(e_kinds, e_ids, e_states, e_lives, e_dues, e_befores, e_versions, e_bodies)
          as e(kind, id, state, live, due, before, version, body)
        where entities.kind = e.kind and entities.id = e.id and entities.version = e.before
        returning entities.row, e.kind, e.id
    ), made as (
      insert into entities(kind, id, part, state, live, due, number, version, body)
        select kind, id, part, state, live, due, b_number, version, body
        from unnest(e_kinds, e_ids, e_parts, e_states, e_lives, e_dues, e_befores, e_versions, e_bodies)
          as e(kind, id, part, state, live, due, before, version, body)
        where before = 0
        on conflict(kind, id) do nothing
        returning row, kind, id
    ), written as (
      select * from changed union all select * from made
    ), logged as (
      insert into log(part, seq, entity, body, hash)
        select l.part, l.seq, e.row, l.body, l.hash
        from unnest(l_parts, l_seqs, l_kinds, l_ids, l_bodies, l_hashes) as l(part, seq, kind, id, body, hash)
        join written e on e.kind = l.kind and e.id = l.id
    )
    select count(*) into one from written;
    if one < cardinality(e_kinds) then
      -- It is they whose rows are not of this transaction.
      select array_agg(e.kind || '/' || e.id) into changed from unnest(e_kinds, e_ids) as e(kind, id)
        where not exists (
          select from entities x
          where x.kind = e.kind and x.id = e.id and x.xmin = pg_current_xact_id()::xid
        );
      raise exception 'what was read has changed' using errcode = 'TM001', detail = array_to_json(changed)::text;
    end if;
  end if;
  if false = any(l_written) then
    insert into log(part, seq, entity, body, hash)
      select l.part, l.seq, e.row, l.body, l.hash
      from unnest(l_parts, l_seqs, l_kinds, l_ids, l_written, l_bodies, l_hashes)
        as l(part, seq, kind, id, written, body, hash)
      left join entities e on e.kind = l.kind and e.id = l.id where not l.written;
  end if;
  if cardinality(w_kinds) > 0 then
    update entities set due = w.at from unnest(w_kinds, w_ids, w_ats) as w(kind, id, at)
      where entities.kind = w.kind and entities.id = w.id;
  end if;
  if cardinality(m_kinds) > 0 then
    insert into marks select e.row, m.seq, e.number, e.body
      from unnest(m_kinds, m_ids, m_seqs) as m(kind, id, seq) join entities e on e.kind = m.kind and e.id = m.id;
  end if;
  if cardinality(k_kinds) > 0 then
    insert into keys select * from unnest(k_kinds, k_values, k_ids) on conflict do nothing;
    if exists (
      select from unnest(k_kinds, k_values, k_ids) as k(kind, value, id)
      join keys on keys.kind = k.kind and keys.value = k.value where keys.id <> k.id
    ) then
      raise exception 'the key was given meanwhile' using errcode = 'TM001';
    end if;
  end if;
  if cardinality(u_kinds) > 0 then
    delete from holds using (select distinct kind, id from unnest(u_kinds, u_ids) as c(kind, id)) c
      where holds.kind = c.kind and holds.id = c.id;
    insert into holds select kind, number, value, id
      from unnest(u_kinds, u_ids, u_numbers, u_values) as u(kind, id, number, value) where value is not null
      on conflict do nothing;
    if exists (
      select from unnest(u_kinds, u_ids, u_numbers, u_values, u_firm) as u(kind, id, number, value, firm)
      join holds h on h.kind = u.kind and h.number = u.number and h.value = u.value where h.id <> u.id and u.firm
    ) then
      raise exception 'a value that is unique was taken meanwhile' using errcode = 'TM001';
    end if;
  end if;
  if cardinality(f_changed_kinds) > 0 then
    delete from refs using unnest(f_changed_kinds, f_changed_ids) as c(kind, id), entities e
      where e.kind = c.kind and e.id = c.id and refs.row = e.row and refs.kind = coalesce(labels->>c.kind, c.kind);
    insert into refs select coalesce(labels->>f.kind, f.kind), f.field, f.target, e.row
      from unnest(f_kinds, f_ids, f_fields, f_targets) as f(kind, id, field, target)
      join entities e on e.kind = f.kind and e.id = f.id;
  end if;
  if cardinality(o_names) > 0 then
    insert into orders(name, part, kind, entity, id, tool, args, send, number, state, attempts, next_at, created_at,
        lane, pair, unsure, last_error)
      select name, part, kind, entity, id, tool, args, send, b_number, state, attempts, next_at, created_at, lane,
        pair, unsure, last_error
      from unnest(o_names, o_parts, o_kinds, o_entities, o_ids, o_tools, o_args, o_sends, o_states, o_attempts, o_nexts,
        o_createds, o_lanes, o_pairs, o_unsures, o_errors)
        as o(name, part, kind, entity, id, tool, args, send, state, attempts, next_at, created_at, lane, pair, unsure,
          last_error)
      on conflict(name) do update set state = excluded.state, attempts = excluded.attempts, next_at = excluded.next_at,
        unsure = excluded.unsure, last_error = excluded.last_error;
  end if;
  if cardinality(ended) > 0 then
    delete from orders where name = any(ended);
  end if;
  if cardinality(unlettered) > 0 then
    delete from letters where name = any(unlettered);
  end if;
  if cardinality(t_names) > 0 then
    insert into letters(name, entity, id, text, at) select * from unnest(t_names, t_entities, t_ids, t_texts, t_ats)
      on conflict(name) do update set text = excluded.text, at = excluded.at;
  end if;
  if cardinality(q_names) > 0 then
    insert into requests(name, fingerprint, at, parts, seqs, kind, id, number, body)
      select q.name, q.print, b_at, q.parts::integer[],
        (select array_agg(p_seqs[array_position(p_parts, n.part)] + n.nth order by n.place)
          from unnest(q.parts::integer[], q.nths::integer[]) with ordinality as n(part, nth, place)),
        e.kind, e.id, coalesce(case when q.body is null then e.number end, b_number), coalesce(q.body, e.body)
      from unnest(q_names, q_prints, q_parts, q_nths, q_kinds, q_ids, q_bodies)
        as q(name, print, parts, nths, kind, id, body)
      left join entities e on e.kind = q.kind and e.id = q.id
      on conflict(name) do nothing;
    get diagnostics one = row_count;
    if one < cardinality(q_names) then
      raise exception 'the key was used meanwhile' using errcode = 'TM001';
    end if;
    delete from requests where at < b_forget and row <= (select max(row) from requests) - b_keep
      and row in (select row from requests order by row limit 2 * cardinality(q_names));
  end if;
  if cardinality(us_owners) > 0 then
    delete from stirs using unnest(us_owners, us_kinds, us_ids, us_paths) as u(owner, kind, id, path)
      where stirs.owner = u.owner and stirs.kind = u.kind and stirs.id = u.id and stirs.path = u.path;
  end if;
  if cardinality(st_owners) > 0 then
    delete from stirs using unnest(st_owners, st_kinds, st_ids, st_paths) as u(owner, kind, id, path)
      where stirs.owner = u.owner and stirs.kind = u.kind and stirs.id = u.id and stirs.path = u.path;
    insert into stirs(part, owner, kind, id, path, caller, after)
      select * from unnest(st_parts, st_owners, st_kinds, st_ids, st_paths, st_callers, st_afters);
  end if;
  insert into batches values(b_server, b_id, p_seqs)
    on conflict(server) do update set id = excluded.id, bases = excluded.bases;
end $$;
"""
# Servers of two builds may write beside each other for a while: each calls its own.
FUNCTION = f"append_{sha256(_APPEND.encode()).hexdigest()[:12]}"
APPEND = f"create function {FUNCTION}{_APPEND}"

# How many parameters it takes: those before the columns, and the columns.
_PARAMETERS = _APPEND.split(") returns", maxsplit=1)[0].count("[]") + 7
CALL = f"select {FUNCTION}({', '.join(f'${n + 1}' for n in range(_PARAMETERS))})"
