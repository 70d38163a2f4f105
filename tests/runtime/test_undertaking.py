"""What long work shows while it goes on."""

from __future__ import annotations

import io
import time

from weft.runtime import undertaking
from weft.runtime.undertaking import Undertaking


def test_short_work_shows_nothing() -> None:
    stream = io.StringIO()
    with Undertaking(stream) as work:
        work.at("the only thing")
    assert stream.getvalue() == ""


def test_long_work_says_what_it_is_at(monkeypatch) -> None:
    monkeypatch.setattr(undertaking, "FILE", 0.01)
    stream = io.StringIO()
    with Undertaking(stream, silent=0.0) as work:
        for what in ("first", "second"):
            work.at(what)
            while f"s  {what}\n" not in stream.getvalue():
                time.sleep(0.005)
    shown = stream.getvalue()
    assert shown.index("first") < shown.index("second")
    time.sleep(0.03)
    assert stream.getvalue() == shown  # it is over
