"""Orders of launches: one by a key, and one that stays topological while launches are merged.

What a question has to look at is what stands between the launches that it is about.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import Any, Generic, TypeVar

Launch = TypeVar("Launch", bound=Hashable)


def in_turn(after: Mapping[Launch, Iterable[Launch]], key: Callable[[Launch], Any]) -> list[Launch]:
    """Launches such that each comes after those it reads, always the one of the least `key` that
    may come next; `after` maps every launch to its direct readers.
    """
    number = {launch: n for n, launch in enumerate(after)}  # ties as they were given
    readers = {launch: set(some) for launch, some in after.items()}
    waits = dict.fromkeys(after, 0)
    for some in readers.values():
        for reader in some:
            waits[reader] += 1
    ready = [(key(launch), number[launch], launch) for launch in after if not waits[launch]]
    heapq.heapify(ready)
    row: list[Launch] = []
    while ready:
        launch = heapq.heappop(ready)[2]
        row.append(launch)
        for reader in readers[launch]:
            waits[reader] -= 1
            if not waits[reader]:
                heapq.heappush(ready, (key(reader), number[reader], reader))
    assert len(row) == len(number), "launches wait for each other"
    return row


class Order(Generic[Launch]):
    """Launches and who reads whom; `after` maps every launch to its direct readers.

    Inside, launches are numbers: sets of them are what nearly all of the time goes to.
    """

    def __init__(self, after: Mapping[Launch, Iterable[Launch]]) -> None:
        self._launches = list(after)
        self._numbers = numbers = {launch: n for n, launch in enumerate(self._launches)}
        self._after = {
            number: {numbers[reader] for reader in readers} - {number}
            for number, readers in enumerate(after.values())
        }
        self._before: dict[int, set[int]] = {number: set() for number in self._after}
        for number, readers in self._after.items():
            for reader in readers:
                self._before[reader].add(number)
        self._row: list[int | None] = [*self._sorted()]
        self._place = {number: at for at, number in enumerate(self._row) if number is not None}

    def _sorted(self) -> list[int]:
        """By the longest way from a launch that reads no other."""
        waits = {number: len(before) for number, before in self._before.items()}
        row: list[int] = []
        ready = [number for number, count in waits.items() if not count]
        while ready:
            row += ready
            following: dict[int, None] = {}
            for number in ready:
                for reader in self._after[number]:
                    waits[reader] -= 1
                    if not waits[reader]:
                        following[reader] = None
            ready = list(following)
        return row

    def readers(self, launch: Launch) -> set[Launch]:
        """The direct readers."""
        return {self._launches[reader] for reader in self._after[self._numbers[launch]]}

    def reaches(self, first: Launch, last: Launch) -> bool:
        """Does something lead from one launch to another?"""
        start, end = self._numbers[first], self._numbers[last]
        return end in self._after[start] or self._beyond({start}, {end}) is None

    def apart(self, parts: Collection[Launch]) -> bool:
        """Does nothing lead from one of the launches to another through a third?"""
        numbers = {self._numbers[part] for part in parts}
        return self._beyond(numbers, numbers) is not None

    def _beyond(self, starts: set[int], ends: set[int]) -> set[int] | None:
        """What must run after the starts, as far as it stands before the last of the ends; None if
        something beyond a direct reader leads to an end.
        """
        place, last = self._place, max(self._place[end] for end in ends)
        stack = [x for start in starts for x in self._after[start] if x not in ends]
        seen: set[int] = set()
        while stack:
            number = stack.pop()
            if number in seen or place[number] > last:
                continue
            seen.add(number)
            readers = self._after[number]
            if not readers.isdisjoint(ends):
                return None
            stack += readers
        return seen

    def merge(self, parts: Collection[Launch], whole: Launch) -> None:
        """Make one launch of some that are `apart`."""
        gone, number = {self._numbers.pop(part) for part in parts}, len(self._launches)
        self._launches.append(whole)
        self._numbers[whole] = number
        late = self._beyond(gone, gone)
        assert late is not None
        places = [self._place.pop(part) for part in gone]
        first, last = min(places), max(places)
        window = [x for x in self._row[first : last + 1] if x is not None and x not in gone]
        row = [*(x for x in window if x not in late), number, *(x for x in window if x in late)]
        self._row[first : last + 1] = [*row, *[None] * (last + 1 - first - len(row))]
        self._place |= {x: at for at, x in enumerate(row, first)}
        after = set().union(*(self._after.pop(part) for part in gone)) - gone
        before = set().union(*(self._before.pop(part) for part in gone)) - gone
        self._after[number], self._before[number] = after, before
        for x in after:
            self._before[x] -= gone
            self._before[x].add(number)
        for x in before:
            self._after[x] -= gone
            self._after[x].add(number)
