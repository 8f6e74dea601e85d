"""Opening: what a workshop stands on, once the settings are found sound and their folder or database can be used."""

from __future__ import annotations

from dataclasses import dataclass

from temper.kernel import StoreFault
from temper.runtime import Adapter, Clock, Cluster, Joined, PostgresTokens, TokenStore
from temper.service import identity, webhooks
from temper.service.administration import server_policies
from temper.service.bindings import Bindings, bind, modules_of
from temper.service.settings import Loaded, SettingProblem, duration_ms


class CannotOpen(Exception):
    """The workshop cannot open: `problems` of the settings, or a data folder that cannot be used."""

    def __init__(self, problems: tuple[SettingProblem, ...]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Opened:
    """Where the tokens are, what is bound to tools, and the other servers, where there are any."""

    tokens: TokenStore | PostgresTokens
    bindings: Bindings
    cluster: Cluster | None = None


async def opened(loaded: Loaded, clock: Clock) -> Opened:
    """Open the data folder, or join the servers of a PostgreSQL. Raises `CannotOpen`."""
    if loaded.problems:
        raise CannotOpen(loaded.problems)
    problem = loaded.store_problem()
    if problem is not None:
        raise CannotOpen((problem,))
    wrong = (
        *server_policies(loaded, clock).problems,
        *webhooks.problems(loaded.settings.webhooks, loaded.vault),
        *identity.problems(loaded.settings.identity),
    )
    if wrong:
        raise CannotOpen(wrong)
    return await _joined(loaded, clock) if loaded.store else _alone(loaded, clock)


def _alone(loaded: Loaded, clock: Clock) -> Opened:
    folder = loaded.data
    try:
        (folder / "spaces").mkdir(parents=True, exist_ok=True)
        tokens = TokenStore(folder / "tokens.db")
    except (OSError, ValueError, StoreFault) as error:
        raise CannotOpen((SettingProblem("server.data", f"`{folder}` cannot be used: {error}"),)) from error
    adapters, problems = bind(loaded)
    if problems:
        tokens.close()
        raise CannotOpen(problems)
    return Opened(tokens, _bindings(loaded, clock, adapters))


async def _joined(loaded: Loaded, clock: Clock) -> Opened:
    section = loaded.settings.server
    adapters, problems = bind(loaded)
    if problems:
        raise CannotOpen(problems)
    joined = Joined(loaded.store, section.url, duration_ms(section.lease) / 1000, section.partitions)
    try:
        loaded.data.mkdir(parents=True, exist_ok=True)  # Judgements are remembered there.
        cluster = await Cluster.join(joined)
    except OSError as error:
        raise CannotOpen((SettingProblem("server.data", f"`{loaded.data}` cannot be used: {error}"),)) from error
    except StoreFault as fault:
        raise CannotOpen((SettingProblem("server.store", fault.text),)) from fault
    return Opened(cluster.tokens, _bindings(loaded, clock, adapters), cluster)


def _bindings(loaded: Loaded, clock: Clock, adapters: dict[str, Adapter]) -> Bindings:
    return Bindings(adapters, modules_of(loaded, clock))
