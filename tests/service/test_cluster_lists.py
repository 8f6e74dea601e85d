"""Lists over HTTP, of servers that share a PostgreSQL: in any order, filtered, paged and counted, at either of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from temper.runtime import RANKED_FROM
from tests.runtime.postgres import cluster
from tests.service.servers import Servers

# So many that no order is worked out by looking through all.
ACCOUNTS = RANKED_FROM + 20
CLOSED = range(5, ACCOUNTS, 10)


@dataclass
class Lists:
    """What there is, oldest first, as (id, balance, state)."""

    servers: Servers
    accounts: list[tuple[str, int, str]]

    def get(self, server: int, **params: Any) -> Any:
        with self.servers.client() as client:
            answer = client.get(f"{self.servers.all[server].url}/v1/bank/Account", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def pages(self, limit: int, **params: Any) -> list[str]:
        """Return the ids of all pages, of which each is asked for at the other server."""
        ids: list[str] = []
        number = 0
        while True:
            page = self.get(number % 2, limit=limit, **params)
            assert len(page["items"]) <= limit
            ids += [each["id"] for each in page["items"]]
            number += 1
            if page["cursor"] is None:
                return ids
            params["cursor"] = page["cursor"]


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lists]:
    with cluster() as database:
        servers = Servers(tmp_path_factory.mktemp("lists"), database.url, 2)
        try:
            yield Lists(servers, list(filled(servers)))
        finally:
            servers.end()


def filled(servers: Servers) -> Iterator[tuple[str, int, str]]:
    """Open accounts at both servers in turn, and close some at the other one."""
    with servers.client() as client:
        for number in range(ACCOUNTS):
            here, there = (f"{servers.all[one].url}/v1/bank/Account" for one in (number % 2, 1 - number % 2))
            balance = number * 37 % 101
            made = client.post(here, json={"balance": balance})
            assert made.status_code == 201, made.text
            id = made.json()["entity"]["id"]
            if number in CLOSED:
                assert client.post(f"{there}/{id}/Close", json={}).status_code == 200
            yield id, balance, "Closed" if number in CLOSED else "Open"


Account = tuple[str, int, str]


@pytest.mark.parametrize(
    ("asked", "holds", "key"),
    [
        ({}, None, None),
        ({"sort": "-created_at"}, None, "newest"),
        ({"sort": "balance"}, None, lambda one: one[1]),
        ({"sort": "-balance"}, None, lambda one: -one[1]),
        ({"sort": "id"}, None, lambda one: one[0]),
        ({"sort": "state"}, None, lambda one: one[2]),
        ({"filter": "state is Closed"}, lambda one: one[2] == "Closed", None),
        ({"filter": "balance == 37"}, lambda one: one[1] == 37, None),
        ({"filter": "balance % 7 == 3"}, lambda one: one[1] % 7 == 3, None),
        (
            {"filter": "balance >= 20 and balance < 60 and state is Open", "sort": "balance"},
            lambda one: 20 <= one[1] < 60 and one[2] == "Open",
            lambda one: one[1],
        ),
        ({"filter": "balance > 1000"}, lambda _: False, None),
    ],
)  # fmt: skip
def test_the_pages_are_the_whole_in_order_at_whichever_server(
    lists: Lists,
    asked: dict[str, str],
    holds: Callable[[Account], bool] | None,
    key: Callable[[Account], Any] | str | None,
) -> None:
    """One row: what is asked, who is on the list, and in which order; of those alike the older comes first."""
    expected = [one for one in lists.accounts if holds is None or holds(one)]
    if key == "newest":
        expected.reverse()
    elif callable(key):
        expected.sort(key=key)
        if asked["sort"].startswith("-"):
            # Downwards, so the younger comes first.
            expected = [one for _, one in sorted(enumerate(expected), key=lambda each: (key(each[1]), -each[0]))]
    found = lists.pages(7, **asked)
    assert found == [id for id, _, _ in expected]


@pytest.mark.parametrize(
    ("filter", "holds"),
    [
        (None, lambda _: True),
        ("state is Closed", lambda one: one[2] == "Closed"),
        ("balance >= 20 and balance < 60", lambda one: 20 <= one[1] < 60),
        ("balance >= 20 and state is Open", lambda one: one[1] >= 20 and one[2] == "Open"),
    ],
)
def test_a_count_is_of_all_that_are_found(lists: Lists, filter: str | None, holds: Callable[[Account], bool]) -> None:
    asked = {} if filter is None else {"filter": filter}
    for server in (0, 1):
        page = lists.get(server, limit=1, count="true", **asked)
        assert page["count"] == sum(map(holds, lists.accounts))


def test_who_changes_is_elsewhere_in_a_list_at_once(lists: Lists) -> None:
    """At the server that did not decide it, too, and in its count."""
    mover, balance, _ = next(one for one in lists.accounts if one[1] > 90 and one[2] == "Open")
    target = next(one for one in lists.accounts if one[0] != mover and one[2] == "Open")[0]
    before = lists.get(0, filter=f"balance == {balance}", count="true")
    assert mover in [each["id"] for each in before["items"]]
    url = lists.servers.all[0].url
    with lists.servers.client() as client:
        paid = client.post(f"{url}/v1/bank/Account/{mover}/Pay", json={"to": target, "amount": 3})
        assert paid.status_code == 200, paid.text
        after = lists.get(1, filter=f"balance == {balance}", count="true")
        assert mover not in [each["id"] for each in after["items"]]
        assert after["count"] == before["count"] - 1
        back = client.post(f"{url}/v1/bank/Account/{target}/Pay", json={"to": mover, "amount": 3})
        assert back.status_code == 200, back.text


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"sort": "balanse"}, "did you mean `balance`?"),
        ({"filter": "balance > "}, "filter"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"sort": "balance", "cursor": "nonsense"}, "begin anew"),
    ],
)
def test_what_is_wrong_with_a_parameter_is_said(lists: Lists, params: dict[str, str], said: str) -> None:
    with lists.servers.client() as client:
        answer = client.get(f"{lists.servers.all[1].url}/v1/bank/Account", params=params)
    assert answer.status_code == 422, answer.text
    assert said in answer.text
