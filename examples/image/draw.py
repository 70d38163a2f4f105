"""Draws boat.pgm, the 51x51 grey image of this example: `python draw.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SIZE, FINE = 51, 8  # pixels a side, and samples a pixel and axis for smooth edges


def boat() -> np.ndarray:
    """A sailing boat under the sun: grey values in [0, 1], first row on top."""
    at = (np.arange(SIZE * FINE) + 0.5) / (SIZE * FINE) * 2 - 1
    x, y = np.meshgrid(at, -at)
    grey = 0.75 + 0.2 * y
    grey = np.where((x - 0.55) ** 2 + (y - 0.6) ** 2 < 0.05, 1.0, grey)
    sea = -0.5 + 0.06 * np.sin(9 * x)
    hull = (y < -0.25) & (y > -0.62) & (abs(x) < 0.62 + 0.55 * (y + 0.25))
    sail = (x < -0.03) & (y > -0.18) & (y < 0.8 + 1.4 * x)
    jib = (x > 0.03) & (y > -0.18) & (y < 0.55 - 1.2 * x)
    mast = (abs(x) < 0.03) & (y > -0.25) & (y < 0.88)
    for shape, value in ((sail, 0.95), (jib, 0.45), (mast, 0.1), (hull, 0.15)):
        grey = np.where(shape, value, grey)
    grey = np.where(y < sea, 0.35 + 0.12 * np.sin(14 * y + 4 * x), grey)
    return grey.reshape(SIZE, FINE, SIZE, FINE).mean(axis=(1, 3))


if __name__ == "__main__":
    pixels = np.rint(255 * boat()).astype(np.uint8)
    header = f"P5\n# a boat, drawn by draw.py\n{SIZE} {SIZE}\n255\n".encode()
    Path(__file__).with_name("boat.pgm").write_bytes(header + pixels.tobytes())
