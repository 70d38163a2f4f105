"""What the host sees of an entry, whatever language it is written in."""

from __future__ import annotations

from dataclasses import dataclass

from ..artifact import Port, Scalar


@dataclass(frozen=True, slots=True)
class Ports:
    """An entry's kind and subject, and what goes in and comes out in each call."""

    kind: str
    subject: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    scalars: tuple[Scalar, ...]
