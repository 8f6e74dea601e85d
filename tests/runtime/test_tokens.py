"""Tokens: hashes alone on disk, and a word that is taken back is back at once."""

from __future__ import annotations

import hmac
import shutil
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from temper.kernel import StoreFault
from temper.runtime import ParentGone, TokenStore
from temper.runtime.tokens import USED_MS

GOLDEN = Path(__file__).parent / "golden"


def test_a_token_is_found_by_its_text_alone(tmp_path: Path) -> None:
    store = TokenStore(tmp_path / "tokens.db")
    text, row = store.make("ann", ("operator",), at=5)
    assert store.find(text, at=6) == row
    assert store.find(text, at=6) == row, "the second time, from memory"
    id = text.split("_")[1]
    for wrong in ("", "x", text[:-1], text + "x", f"temper_{id}_", f"temper_{id}", text.replace("temper", "tamper")):
        assert store.find(wrong, at=6) is None


def test_the_secret_is_nowhere_on_disk(tmp_path: Path) -> None:
    store = TokenStore(tmp_path / "tokens.db")
    text, _ = store.make("ann", (), at=5, admin=True)
    secret = text.split("_", 2)[2].encode()
    store.find(text, at=6)
    files = list(tmp_path.iterdir())
    assert files
    assert all(secret not in path.read_bytes() for path in files)
    assert all(path.stat().st_mode & 0o077 == 0 for path in files), "its owner alone may read it"


@pytest.mark.parametrize(("at", "good"), [(99, True), (100, False), (101, False)])
def test_a_token_ends_at_its_time(tmp_path: Path, at: int, good: bool) -> None:
    store = TokenStore(tmp_path / "tokens.db")
    text, _ = store.make("ann", (), at=5, expires_at=100)
    assert (store.find(text, at=at) is not None) == good


def test_a_revoked_token_is_dead_at_once_in_every_process(tmp_path: Path) -> None:
    server, beside = TokenStore(tmp_path / "tokens.db"), TokenStore(tmp_path / "tokens.db")
    text, row = server.make("ann", (), at=5)
    assert server.find(text, at=6) is not None
    revoked = beside.revoke(row.id, at=7)
    assert revoked is not None
    assert revoked.revoked_at == 7
    assert server.find(text, at=8) is None
    assert beside.find(text, at=8) is None
    assert beside.revoke("nobody", at=9) is None


def test_a_disk_that_takes_nothing_keeps_nobody_out(tmp_path: Path) -> None:
    """That somebody was here is written down now and then; whether it can be is not the caller's business."""
    store = TokenStore(tmp_path / "tokens.db")
    text, row = store.make("ann", (), at=5)
    store._db.execute("pragma query_only = 1")
    assert store.find(text, at=10 * USED_MS) == row
    with pytest.raises(StoreFault, match="can't be written"):
        store.make("bob", (), at=10 * USED_MS)
    with pytest.raises(StoreFault, match="can't be written"):
        store.revoke(row.id, at=10 * USED_MS)
    assert store.find(text, at=11 * USED_MS) == row
    store._db.execute("pragma query_only = 0")
    used = store.get(row.id)
    assert store.find(text, at=12 * USED_MS) is not None
    store.close()
    assert used is not None
    again = TokenStore(tmp_path / "tokens.db").get(row.id)
    assert again is not None
    assert again.used_at == 12 * USED_MS


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "tokens.db").write_bytes(b"no database" * 1_000)
    with pytest.raises(StoreFault, match="is damaged"):
        TokenStore(tmp_path / "tokens.db")


def test_a_full_disk_takes_no_token_and_says_so(tmp_path: Path) -> None:
    store = TokenStore(tmp_path / "tokens.db")
    store._db.execute(f"pragma max_page_count = {store._db.pragma('page_count')}")
    with pytest.raises(StoreFault, match="is full: make room, then ask again"):
        store.make("ann", tuple(f"role_{each}" for each in range(2_000)), at=5)
    made = len(store.all())
    store._db.execute("pragma max_page_count = 1000000")
    store.make("ann", (), at=6)
    assert len(store.all()) == made + 1


def test_a_token_made_beside_the_server_is_known_to_it(tmp_path: Path) -> None:
    server, beside = TokenStore(tmp_path / "tokens.db"), TokenStore(tmp_path / "tokens.db")
    assert server.find("temper_00_x", at=6) is None
    text, row = beside.make("bob", ("b", "a"), at=5)
    assert server.find(text, at=6) == row
    assert row.roles == ("a", "b")
    assert server.all() == (replace(row, used_at=6),)


def test_a_file_of_another_format_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "tokens.db"
    store = TokenStore(path)
    store._db.execute("pragma user_version=99")
    store.close()
    with pytest.raises(ValueError, match="format 99"):
        TokenStore(path)


def test_a_file_of_format_1_is_opened_and_becomes_one_of_format_2(tmp_path: Path) -> None:
    path = tmp_path / "tokens.db"
    shutil.copy(GOLDEN / "tokens_1.db", path)
    store = TokenStore(path)
    found = {row.id: row for row in store.all()}
    assert [(row.principal, row.roles, row.admin, row.acts_for) for row in found.values()] == [
        ("administrator", (), True, None),
        ("ann", ("builder", "operator"), False, None),
        ("bot", ("operator",), False, "ann"),
        ("eve", (), False, None),
    ]
    assert all((row.teams, row.attributes, row.scope, row.read_only) == ((), {}, None, False) for row in found.values())
    secret = "A" * 43
    assert store.find(f"temper_00000000a1_{secret}", at=6) is not None
    assert store.find(f"temper_00000000b2_{secret}", at=9_000) is None, "it ends when it always did"
    assert store.find(f"temper_00000000d4_{secret}", at=6) is None, "it stays revoked"
    store.close()
    assert apsw.Connection(str(path)).pragma("user_version") == 2


def test_a_migration_that_is_cut_off_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tokens.db"
    shutil.copy(GOLDEN / "tokens_1.db", path)
    with monkeypatch.context() as patched:
        patched.setattr("temper.runtime.tokens._ADDED", ("teams text", "teams text"))
        with pytest.raises(StoreFault):
            TokenStore(path)
    assert apsw.Connection(str(path)).pragma("user_version") == 1
    assert len(TokenStore(path).all()) == 4


def test_what_a_token_is_comes_back_as_it_was_made(tmp_path: Path) -> None:
    store = TokenStore(tmp_path / "tokens.db")
    text, row = store.make(
        "ann",
        ("b", "a"),
        at=5,
        teams=("core",),
        attributes={"site": "eu"},
        scope=("helix/Rollout",),
        read_only=True,
        acts_for="eve",
        expires_at=900,
    )
    again = TokenStore(tmp_path / "tokens.db")
    assert again.find(text, at=6) == row
    assert (row.roles, row.scope, row.attributes) == (("a", "b"), ("helix/Rollout",), {"site": "eu"})


def test_an_old_secret_is_good_until_its_grace_is_over(tmp_path: Path) -> None:
    server, beside = TokenStore(tmp_path / "tokens.db"), TokenStore(tmp_path / "tokens.db")
    old, row = server.make("ann", (), at=5)
    child, _ = server.make("ann#bot", (), at=5, parent=row.id, session="bot", expires_at=900)
    assert server.find(old, at=6) is not None
    rotated = beside.rotate(row.id, at=10, grace_ms=100)
    assert rotated is not None
    new, after = rotated
    assert after.rotated_at == 10
    assert [server.find(text, at=109) is not None for text in (old, new, child)] == [True, True, True]
    assert [server.find(text, at=110) is not None for text in (old, new, child)] == [False, True, True]
    newer, _ = beside.rotate(row.id, at=111) or ("", None)
    assert [server.find(text, at=111) is not None for text in (old, new, newer)] == [False, False, True]


def test_what_lets_nobody_in_gets_no_other_secret(tmp_path: Path) -> None:
    store = TokenStore(tmp_path / "tokens.db")
    _, row = store.make("ann", (), at=5, expires_at=10)
    assert store.rotate(row.id, at=10) is None
    assert store.rotate("nobody", at=5) is None
    store.revoke(row.id, at=6)
    assert store.rotate(row.id, at=7) is None


def test_a_revoked_token_takes_its_sessions_with_it_and_theirs(tmp_path: Path) -> None:
    server, beside = TokenStore(tmp_path / "tokens.db"), TokenStore(tmp_path / "tokens.db")
    text, row = server.make("ann", (), at=5)
    other, _ = server.make("bob", (), at=5)
    child_text, child = server.make("ann#a", (), at=6, parent=row.id, session="a", expires_at=900)
    grand_text, grand = server.make("ann#a#b", (), at=6, parent=child.id, session="b", expires_at=900)
    assert server.find(grand_text, at=7) == grand
    beside.revoke(row.id, at=8)
    assert [server.find(each, at=9) for each in (text, child_text, grand_text)] == [None, None, None]
    assert server.find(other, at=9) is not None
    with pytest.raises(ParentGone):
        server.make("ann#a#c", (), at=9, parent=child.id, session="c", expires_at=900)


def test_sessions_that_ended_long_ago_are_forgotten(tmp_path: Path) -> None:
    store = TokenStore(tmp_path / "tokens.db")
    week = 7 * 86_400_000
    store.make("kept", (), at=5, expires_at=10)
    store.make("ann#a", (), at=5, session="a", expires_at=10)
    store.make("ann#b", (), at=6, session="b", expires_at=10 + week)
    store.make("ann#c", (), at=11 + week, session="c", expires_at=20 + week)
    assert [row.principal for row in store.all()] == ["kept", "ann#b", "ann#c"]


def test_when_a_token_was_last_used_is_written_at_most_once_a_minute(tmp_path: Path) -> None:
    server, beside = TokenStore(tmp_path / "tokens.db"), TokenStore(tmp_path / "tokens.db")
    text, _ = server.make("ann", (), at=5)

    def written() -> int | None:
        return beside.all()[0].used_at

    server.find(text, at=1_000)
    assert written() == 1_000
    for at in range(2_000, 61_000, 1_000):
        server.find(text, at=at)
    assert written() == 1_000
    assert server.all()[0].used_at == 60_000, "who asks the server hears of the last time"
    server.find(text, at=61_000)
    assert written() == 61_000
    server.find(text, at=62_000)
    server.close()
    assert written() == 62_000


def test_a_look_up_goes_on_while_another_writes(tmp_path: Path) -> None:
    server, beside = TokenStore(tmp_path / "tokens.db"), TokenStore(tmp_path / "tokens.db")
    text, _ = server.make("ann", (), at=5)
    beside._db.execute("begin immediate")
    assert server.find(text, at=100_000) is not None
    beside._db.execute("rollback")
    assert server.find(text, at=200_000) is not None
    assert beside.all()[0].used_at == 200_000


def test_a_secret_is_compared_in_the_same_way_whether_or_not_the_token_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = TokenStore(tmp_path / "tokens.db")
    text, row = store.make("ann", (), at=5)
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def seen(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr("temper.runtime.tokens.hmac.compare_digest", seen)
    found = []
    for asked in (text, text[:-1] + "!", f"temper_{row.id}_", "temper_0000000000_x", "", "x" * 9_000):
        compared.clear()
        store.find(asked, at=6)
        found.append(tuple(compared))
    assert set(found) == {((32, 32), (32, 32))}
