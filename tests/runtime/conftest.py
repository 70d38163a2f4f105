"""The tests of the runtime share an engine written in NumPy; see `softmax_engine.py`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
