"""The record of a training: one row for each report, as CSV and as JSON lines.

Rows: step, epoch, part (train or test), seconds, then the rates, losses and metrics by name.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..spec.errors import CheckpointError

FIXED = ("step", "epoch", "part", "seconds")
"""The columns in front of the metrics."""

Row = Mapping[str, Any]


class MetricsFiles:
    """`metrics.csv` and `metrics.jsonl` in a folder, one flushed line a row.

    A resumed training keeps the rows up to its checkpoint's step and drops those after it, as they
    are about to be computed again.
    """

    def __init__(self, folder: Path, names: Sequence[str], *, step: int | None = None) -> None:
        self._columns = (*FIXED, *names)
        self.csv_path, self.json_path = folder / "metrics.csv", folder / "metrics.jsonl"
        try:
            self._open(step)
        except OSError as error:
            raise _full(folder, error) from None

    def _open(self, step: int | None) -> None:
        self.csv_path.parent.mkdir(parents=True, exist_ok=True)
        kept = [row for row in read(self.json_path) if step is not None and row["step"] <= step]
        _replace(self.json_path, "".join(_json_line(row) for row in kept))
        lines = [_csv_line(self._columns), *(self._line(row) for row in kept)]
        _replace(self.csv_path, "".join(lines))
        self._csv = open(self.csv_path, "a", encoding="utf-8", newline="")  # noqa: SIM115
        self._json = open(self.json_path, "a", encoding="utf-8")  # noqa: SIM115

    def write(self, row: Row) -> None:
        """Append one row to both files.

        Raises: CheckpointError when the disk is full.
        """
        try:
            for file, line in ((self._csv, self._line(row)), (self._json, _json_line(row))):
                file.write(line)
                file.flush()
        except OSError as error:
            raise _full(self.csv_path.parent, error) from None

    def close(self) -> None:
        """Close both files."""
        for file in (self._csv, self._json):
            with contextlib.suppress(OSError):
                file.close()

    def _line(self, row: Row) -> str:
        return _csv_line([row.get(name, "") for name in self._columns])


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a `metrics.jsonl`; a last line that was cut off is left out."""
    rows: list[dict[str, Any]] = []
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return rows
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
    return rows


def _full(folder: Path, error: OSError) -> CheckpointError:
    return CheckpointError(
        f"the metrics in `{folder}` cannot be written: {error.strerror or error}",
        hint="free some space or choose another folder with --out, then go on with --resume",
    )


def _csv_line(cells: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([_cell(cell) for cell in cells])
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return "nan"
    return repr(value) if isinstance(value, float) else str(value)


def _json_line(row: Row) -> str:
    """JSON has no NaN: such a number becomes null."""
    plain = {key: None if _is_broken(value) else value for key, value in row.items()}
    return json.dumps(plain) + "\n"


def _is_broken(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
