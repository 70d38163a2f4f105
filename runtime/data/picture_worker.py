"""The other side of `workers`: makes batches until nobody asks for more."""

from __future__ import annotations

import os
import signal
import traceback
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from ...spec.errors import DataError
from .block import attach

if TYPE_CHECKING:
    from .maker import Job, Maker


def work(number: int) -> None:
    """Answer on this connection; the training alone decides what Ctrl-C means."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    connection = Connection(number)
    try:
        plain, blocks, file, where, width = connection.recv()
        maker = _with_arrays(plain, blocks)
        arrays = attach(file, where)
        for handle in (file, *(block[0] for block in blocks if block)):
            os.close(handle)
        while True:
            slot, job = connection.recv()
            connection.send((slot, _made(maker, job, arrays[slot * width : (slot + 1) * width])))
    except (EOFError, OSError):
        return


def _with_arrays(maker: Maker, blocks: list[Any]) -> Maker:
    parts = [
        part if block is None else replace(part, arrays=tuple(attach(*block)))  # type: ignore[type-var]
        for part, block in zip(maker.parts, blocks, strict=True)
    ]
    return replace(maker, parts=tuple(parts))


def _made(maker: Maker, job: Job, out: list[Any]) -> tuple[str, ...]:
    """Nothing, or what went wrong, for the process that can say it."""
    try:
        maker.fill(job, out)
    except DataError as error:
        return ("data", error.message, error.hint or "")
    except MemoryError:
        return ("data", "a process that reads pictures ran out of memory", "workers=1")
    except Exception:
        return ("internal", traceback.format_exc())
    return ()
