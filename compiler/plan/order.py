"""A topological order of launches that stays one while launches are merged.

What a question has to look at is what stands between the launches that it is about.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

Launch = TypeVar("Launch", bound=Hashable)


class Order(Generic[Launch]):
    """Launches and who reads whom; `after` maps every launch to its direct readers."""

    def __init__(self, after: Mapping[Launch, Iterable[Launch]]) -> None:
        self._after = {launch: set(readers) - {launch} for launch, readers in after.items()}
        self._before: dict[Launch, set[Launch]] = {launch: set() for launch in self._after}
        for launch, readers in self._after.items():
            for reader in readers:
                self._before[reader].add(launch)
        self._row: list[Launch | None] = [*self._sorted()]
        self._place = {launch: at for at, launch in enumerate(self._row) if launch is not None}

    def _sorted(self) -> list[Launch]:
        """By the longest way from a launch that reads no other; ties as they were given."""
        waits = {launch: len(before) for launch, before in self._before.items()}
        row: list[Launch] = []
        ready = [launch for launch, count in waits.items() if not count]
        while ready:
            row += ready
            following: dict[Launch, None] = {}
            for launch in ready:
                for reader in self._after[launch]:
                    waits[reader] -= 1
                    if not waits[reader]:
                        following[reader] = None
            ready = list(following)
        return row

    def readers(self, launch: Launch) -> set[Launch]:
        """The direct readers."""
        return self._after[launch]

    def reaches(self, first: Launch, last: Launch) -> bool:
        """Does something lead from one launch to another?"""
        return last in self._after[first] or self._beyond((first,), (last,)) is None

    def apart(self, parts: Collection[Launch]) -> bool:
        """Does nothing lead from one of the launches to another through a third?"""
        return self._beyond(parts, parts) is not None

    def _beyond(self, starts: Collection[Launch], ends: Collection[Launch]) -> set[Launch] | None:
        """What must run after the starts, as far as it stands before the last of the ends; None if
        something beyond a direct reader leads to an end.
        """
        place, last = self._place, max(self._place[end] for end in ends)
        stack = [x for start in starts for x in self._after[start] if x not in ends]
        seen: set[Launch] = set()
        while stack:
            launch = stack.pop()
            if launch in seen or place[launch] > last:
                continue
            seen.add(launch)
            for reader in self._after[launch]:
                if reader in ends:
                    return None
                stack.append(reader)
        return seen

    def merge(self, parts: Collection[Launch], whole: Launch) -> None:
        """Make one launch of some that are `apart`."""
        late = self._beyond(parts, parts)
        assert late is not None
        places = [self._place.pop(part) for part in parts]
        first, last = min(places), max(places)
        window = [x for x in self._row[first : last + 1] if x is not None and x not in parts]
        row = [*(x for x in window if x not in late), whole, *(x for x in window if x in late)]
        self._row[first : last + 1] = [*row, *[None] * (last + 1 - first - len(row))]
        self._place |= {launch: at for at, launch in enumerate(row, first)}
        after = set().union(*(self._after.pop(part) for part in parts)) - set(parts)
        before = set().union(*(self._before.pop(part) for part in parts)) - set(parts)
        self._after[whole], self._before[whole] = after, before
        for launch in after:
            self._before[launch] = self._before[launch] - set(parts) | {whole}
        for launch in before:
            self._after[launch] = self._after[launch] - set(parts) | {whole}
