"""The reports of a training as event files for TensorBoard, beside what is shown anyway."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..spec.errors import UsageError
from .metrics import FIXED
from .progress import Progress, Row
from .run_folder import EVENTS


class Logged:
    """A display that passes everything on, and writes reports to `tensorboard` in the folder of
    the run: `loss/train`, `loss/test`, `rate/train` …, by step.

    A resumed training takes the place of what lies after its checkpoint.

    Raises: UsageError where TensorBoard's writer is not installed.
    """

    def __init__(self, display: Progress, out: Path) -> None:
        self._display, self._folder = display, out / EVENTS
        self._make = writer()
        self._events: Any = None

    def start(self, title: str, step: int, total: int, tokens: int = 0) -> None:
        self._events = self._make(str(self._folder), purge_step=step + 1 if step else 0)
        self._display.start(title, step, total, tokens)

    def step(self, step: int) -> None:
        self._display.step(step)

    def report(self, rows: Sequence[Row]) -> None:
        for row in rows:
            for name, value in row.items():
                if name not in FIXED and value is not None:
                    self._events.add_scalar(f"{name}/{row['part']}", value, row["step"])
        self._events.flush()
        self._display.report(rows)

    def note(self, text: str) -> None:
        self._display.note(text)

    def finish(self) -> None:
        if self._events is not None:
            self._events.close()
        self._display.finish()


def writer() -> Any:
    """The class that writes event files.

    Raises: UsageError where it is not installed.
    """
    try:
        return importlib.import_module("torch.utils.tensorboard").SummaryWriter
    except ImportError:
        raise UsageError(
            "event files need the package tensorboard",
            hint="pip install 'weft[tensorboard]', or pip install tensorboard",
        ) from None
