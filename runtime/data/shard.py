"""What of an epoch one training takes: all, every n-th batch, or its rows of every batch."""

from __future__ import annotations

from dataclasses import dataclass

from ...spec.errors import UsageError


@dataclass(frozen=True, slots=True)
class Shard:
    """Every `of`-th batch, from `number` on, counted from 0.

    The order of an epoch is that of the whole, so shards share nothing.  All have the same number
    of batches: what is left over at the end is left out with `drop`, else the first batches of the
    epoch are taken once more by those that would have one less.
    """

    number: int = 0
    of: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.of:
            raise UsageError(
                f"shard {self.number} of {self.of}: there are 0 to {self.of - 1}"
                if self.of > 0
                else f"{self.of} shards: at least 1"
            )

    def count(self, total: int, *, drop: bool) -> int:
        """How many batches of `total` are ours."""
        return total // self.of if drop else -(-total // self.of)

    def at(self, index: int, total: int) -> int:
        """The number of our batch `index` among all."""
        return (index * self.of + self.number) % total

    def rows(self, samples: int) -> slice:
        """Those of a batch of so many samples that are ours."""
        return slice(0, samples)


@dataclass(frozen=True, slots=True)
class Portion(Shard):
    """The rows of every batch that process `number` of `of` takes: the batches are those of one
    process, each cut into parts that differ by a sample at most.
    """

    def count(self, total: int, *, drop: bool) -> int:
        return total

    def at(self, index: int, total: int) -> int:
        return index

    def rows(self, samples: int) -> slice:
        return slice(samples * self.number // self.of, samples * (self.number + 1) // self.of)


WHOLE = Shard()


def shard_of(text: str) -> Shard:
    """`1/4`: the second of four.

    Raises: UsageError.
    """
    number, slash, of = text.partition("/")
    if not slash or not number.strip().isdecimal() or not of.strip().isdecimal():
        raise UsageError(f"--shard {text}: K/N is expected", hint="such as 0/4, the first of four")
    return Shard(int(number), int(of))
