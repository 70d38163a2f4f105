"""The dispatcher: what each failure looks like, and the exit codes."""

from __future__ import annotations

import argparse
import subprocess
import sys
import types

import pytest

from weft.cli import main as entry
from weft.cli.main import VERBS
from weft.spec.errors import DataError, Diagnostic, InternalError, SpecError, UsageError
from weft.spec.place import Place


def test_help_lists_every_verb(weft) -> None:
    for command in ([], ["--help"], ["help"]):
        answer = weft(*command)
        assert answer.code == 0
        assert all(verb in answer.out for verb in VERBS)


def test_version(weft) -> None:
    import weft as package

    assert package.__version__ in weft("--version").out


def test_unknown_verb_suggests(weft) -> None:
    answer = weft("chek", "net.weft")
    assert (answer.code, answer.out) == (2, "")
    assert "unknown command `chek`" in answer.err
    assert "did you mean `check`?" in answer.err


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(weft, verb: str) -> None:
    answer = weft(verb, "--help")
    assert answer.code == 0
    assert f"usage: weft {verb}" in answer.out
    assert answer.out == weft("help", verb).out


def _fails_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make `weft check` a verb that raises."""
    verb = types.ModuleType("weft.cli.check")

    def run(arguments: argparse.Namespace) -> int:
        raise error

    verb.configure = lambda parser: None  # type: ignore[attr-defined]
    verb.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "weft.cli.check", verb)


PLACE = Place("a.weft", 1, 3, 5)
FAILURES = [
    (
        SpecError(Diagnostic("E301", "unknown name `ab`", PLACE), {"a.weft": "x ab"}),
        2,
        "a.weft:1:3",
    ),
    (UsageError("no such variant", hint="variants: big"), 2, "= hint: variants: big"),
    (DataError("a.csv: row 3 has 2 fields, not 3"), 1, "weft: error: a.csv: row 3"),
    (OSError(28, "No space left on device", "runs/x"), 1, "No space left on device: runs/x"),
    (KeyboardInterrupt("saved at step 12"), 130, "interrupted: saved at step 12"),
    (ZeroDivisionError("division by zero"), 1, "internal error (ZeroDivisionError"),
    (InternalError("cycle", around="a -> b"), 1, "a mistake in weft"),
]


@pytest.mark.parametrize(("error", "code", "said"), FAILURES, ids=lambda v: type(v).__name__)
def test_failures_are_one_screen(weft, monkeypatch, error, code: int, said: str) -> None:
    monkeypatch.delenv("WEFT_DEBUG", raising=False)
    _fails_with(monkeypatch, error)
    answer = weft("check")
    assert answer.code == code
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert len(answer.err.splitlines()) < 25


def test_debug_shows_the_traceback(weft, monkeypatch) -> None:
    monkeypatch.setenv("WEFT_DEBUG", "1")
    _fails_with(monkeypatch, ZeroDivisionError("division by zero"))
    assert "Traceback" in weft("check").err


def test_closed_pipe_is_quiet() -> None:
    """`weft help | head -0`: the reader goes away before anything is written."""
    command = f"{sys.executable} -c 'from weft.cli import main; raise SystemExit(main([]))'"
    script = f"unset PYTHONUNBUFFERED; ({command}; echo $? >&2) | true"
    for _ in range(3):
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
        assert done.stderr.strip() in ("0", "141")  # 0: written before the reader closed


def test_entry_point_is_main() -> None:
    from importlib.metadata import entry_points

    (script,) = entry_points(group="console_scripts", name="weft")
    assert script.load() is entry
