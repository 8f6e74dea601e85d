"""Tokens: hashes alone on disk, and a word that is taken back is back at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from temper.runtime import TokenStore


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


def test_a_token_made_beside_the_server_is_known_to_it(tmp_path: Path) -> None:
    server, beside = TokenStore(tmp_path / "tokens.db"), TokenStore(tmp_path / "tokens.db")
    assert server.find("temper_00_x", at=6) is None
    text, row = beside.make("bob", ("b", "a"), at=5)
    assert server.find(text, at=6) == row
    assert row.roles == ("a", "b")
    assert server.all() == (row,)


def test_a_file_of_another_format_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "tokens.db"
    store = TokenStore(path)
    store._db.execute("pragma user_version=99")
    store.close()
    with pytest.raises(ValueError, match="format 99"):
        TokenStore(path)
