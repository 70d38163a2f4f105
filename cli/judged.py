"""The report of `weft eval --report` as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .table import table

if TYPE_CHECKING:
    from ..runtime.judgement import Confusion, Deviation

WIDE = 20
"""Up to so many classes all pairs are shown, beyond that the most frequent mistakes."""

MISTAKES = 12
MANY = 100
"""Of more classes than this the most frequent `WIDE` have lines of their own."""


def as_text(found: Confusion | Deviation) -> str:
    """Tables for people."""
    from ..runtime.judgement import Confusion

    return _classes(found) if isinstance(found, Confusion) else _numbers(found)


def as_json(found: Confusion | Deviation) -> dict[str, Any]:
    """The same for programs."""
    from ..runtime.judgement import Confusion

    if not isinstance(found, Confusion):
        return {
            "field": found.field,
            "samples": found.samples,
            "rmse": list(found.rmse),
            "mae": list(found.mae),
            "r2": list(found.r2),
        }
    keys = ("precision", "recall", "f1", "samples")
    return {
        "field": found.field,
        "accuracy": found.accuracy,
        "mean": dict(zip(keys, found.means(), strict=False)) | {"iou": found.mean_overlap()},
        "auc": found.auc,
        "classes": {
            name: dict(zip(keys, found.of(kind), strict=True)) | {"iou": found.overlap(kind)}
            for kind, name in enumerate(found.names)
        },
        "confusion": found.counts.tolist(),
    }


def _classes(found: Confusion) -> str:
    def row(name: str, *shares: float) -> tuple[str, ...]:
        return (name, *(f"{share:.4f}" for share in shares))

    pixels = found.pixels
    rows = [
        (
            *row(name, *found.of(kind)[:3], *([found.overlap(kind)] if pixels else [])),
            f"{found.of(kind)[3]:,}",
        )
        for kind, name in enumerate(found.names)
    ]
    if len(rows) > MANY:
        frequent = sorted(range(len(rows)), key=lambda kind: -found.of(kind)[3])[:WIDE]
        rows = [
            *(rows[kind] for kind in frequent),
            (f"… {len(rows) - WIDE:,} more", *[""] * (len(rows[0]) - 1)),
        ]
    means = (*found.means(), *([found.mean_overlap()] if pixels else []))
    total = (*row("mean of the classes", *means), f"{int(found.counts.sum()):,}")
    measured = ("Dice", "IoU", "pixels") if pixels else ("F1", "samples")
    head = (found.field, "precision", "recall", *measured)
    lines = [
        table(head, rows, total, align="<" + ">" * (len(head) - 1)),
        "",
        f"accuracy  {found.accuracy:.4f}",
    ]
    if found.auc is not None:
        lines.append(f"AUC       {found.auc:.4f}")
    if len(found.names) <= WIDE:
        names = ("true, taken for", *found.names)
        cells = [
            (name, *(f"{count:,}" for count in counts.tolist()))
            for name, counts in zip(found.names, found.counts, strict=True)
        ]
        return "\n".join([*lines, "", table(names, cells, align="<" + ">" * len(found.names))])
    wrong = [(true, taken, f"{count:,}") for true, taken, count in found.mistaken(MISTAKES)]
    shown = table(("true", "taken for", "how often"), wrong, align="<<>") if wrong else "no mistake"
    return "\n".join([*lines, "", shown])


def _numbers(found: Deviation) -> str:
    several = len(found.rmse) > 1
    rows = [
        (f"{found.field}[{i}]" if several else found.field, *(f"{x:.6g}" for x in numbers))
        for i, numbers in enumerate(zip(found.rmse, found.mae, found.r2, strict=True))
    ]
    return table((f"{found.samples:,} samples", "RMSE", "MAE", "R2"), rows, align="<>>>")
