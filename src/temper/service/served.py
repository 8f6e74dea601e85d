"""The blueprints that a server serves, and what of them a person may see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from temper.runtime import Gate
from temper.service import scope, wire
from temper.service.declined import Declined, no_such_entity
from temper.service.people import Person
from temper.service.policies import possibly, visible
from temper.service.seen import Sees
from temper.service.space import Space
from temper.table import Possible, Snapshot
from temper.text import suggest


@dataclass(frozen=True, slots=True)
class Served:
    """Finds what a person asks about. For who may not see something, it is not there."""

    spaces: Mapping[str, Space]
    """The blueprints, by name."""
    gate: Gate
    now: Callable[[], int]

    def space(self, person: Person, blueprint: str) -> Space:
        """Return the blueprint, or decline: one that a credential does not reach is not there for it."""
        space = self.spaces.get(blueprint)
        if space is None or not scope.touches(person, blueprint):
            near = suggest(blueprint, [name for name in self.spaces if scope.touches(person, name)])
            raise Declined(
                wire.Problem(
                    type="not-found",
                    title=f"there is no blueprint `{blueprint}`",
                    status=404,
                    help=f"did you mean `{near}`?" if near else "push one with `temper push`",
                )
            )
        return space

    def snapshot(self, person: Person, space: Space, entity: str, id: str, *, at: str = "") -> Snapshot:
        """Return an entity that the person may see; for who may not, it is not there."""
        now = space.live.read(entity, id) if scope.reaches(person, space.name, entity, id) else None
        sees = self.sees(person, space)
        if now is None or (sees is not None and not sees(now)):
            raise Declined(no_such_entity(entity, id, at=at))
        return now

    def sees(self, person: Person, space: Space) -> Sees | None:
        """Return what says whom the person may see, `None` where that is everybody."""
        whole = scope.reaches(person, space.name)
        within = None if whole else lambda now: scope.reaches(person, space.name, now.entity, now.id)
        return visible(self.gate, person, space, self.now(), within)

    def possibly(
        self, person: Person, space: Space, now: Snapshot | None, at: int, could: tuple[Possible, ...]
    ) -> tuple[Possible, ...]:
        """Return what is possible where the policies have been asked too."""
        world = space.live.world()
        return possibly(self.gate, space.table, person.caller, person.facts, now, at, world, could)

    async def shows(self, person: Person, space: Space, entity: str, id: str) -> bool:
        """Say whether the person may see what happens to an entity."""
        if not scope.reaches(person, space.name, entity, id):
            return False
        if not self.gate.narrows_reading(space.table, entity):
            return True
        try:
            await space.reading(partial(self.snapshot, person, space, entity, id))
        except Declined:
            return False
        return True
