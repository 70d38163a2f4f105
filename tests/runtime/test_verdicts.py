"""What compilers said of kernels is found again, for the same text only."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.runtime import crosscompile, kernel_module, verdicts
from weft.runtime.compilers import answers
from weft.runtime.crosscompile import compile_module
from weft.runtime.verdicts import Verdicts, bodies

HEAD = '"""A module."""\n\nimport triton\nimport triton.language as tl'
HALF = "@triton.jit\ndef half(x):\n    return x * 0.5"
DOUBLE = "@triton.jit\ndef double(x):\n    return x * 2.0"
KERNEL = '''@triton.jit
def {name}(x_ptr):
    """{title}"""
    i = tl.arange(0, {size})
    tl.store(x_ptr + i, {call}(tl.load(x_ptr + i)))'''
ANSWER = {"kernel": "k", "registers": 8, "shared": 0, "instructions": {}, "seconds": 0.1}


def text_of(call: str = "half", size: int = 64, name: str = "k", title: str = "A kernel.") -> str:
    kernel = KERNEL.format(call=call, size=size, name=name, title=title)
    return "\n\n\n".join([HEAD, HALF, DOUBLE, kernel]) + "\n"


def record_of(name: str = "k", **more: object) -> dict:
    return {
        "name": name,
        "parameters": [["x_ptr", "*fp32", True]],
        "constants": {},
        "warps": 4,
        "stages": 2,
        "dots": 0,
        "alone": False,
        "key": "",
        **more,
    }


def key(text: str, record: dict) -> str:
    return Verdicts.key(bodies(text)[record["name"]], record)


def test_names_and_titles_do_not_count() -> None:
    known = key(text_of(), record_of())
    assert key(text_of(name="other", title="Another."), record_of("other", key="a tile")) == known


@pytest.mark.parametrize("change", [{"call": "double"}, {"size": 128}], ids=str)
def test_what_is_computed_counts(change: dict) -> None:
    """The kernel's own text and that of the functions which it calls."""
    assert key(text_of(**change), record_of()) != key(text_of(), record_of())
    assert "half" in bodies(text_of())["k"]
    assert "double" not in bodies(text_of())["k"]


@pytest.mark.parametrize(
    "change",
    [
        {"warps": 8},
        {"stages": 3},
        {"alone": True},
        {"constants": {"n": 1}},
        {"parameters": [["x_ptr", "*fp32", False]]},
    ],
    ids=str,
)
def test_how_it_is_compiled_counts(change: dict) -> None:
    assert key(text_of(), record_of(**change)) != key(text_of(), record_of())


def test_answers_outlive_the_process_and_damage(tmp_path: Path) -> None:
    first = Verdicts("cuda:90", tmp_path)
    first.keep("one", ANSWER)
    first.keep("two", {"kernel": "k", "error": "no space left on device"})
    (path,) = (tmp_path / "verdicts").iterdir()
    with path.open("a") as file:
        file.write('["three", {"kernel"\n[1]\nnull\n')
    again = Verdicts("cuda:90", tmp_path)
    assert again.find("one") == ANSWER
    assert again.find("two") is again.find("three") is None
    assert Verdicts("cuda:80", tmp_path).find("one") is None


def test_another_toolchain_knows_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Verdicts("cuda:90", tmp_path).keep("one", ANSWER)
    monkeypatch.setenv("TRITON_PTXAS_PATH", "/opt/ptxas")
    verdicts._toolchain.cache_clear()
    assert Verdicts("cuda:90", tmp_path).find("one") is None
    monkeypatch.undo()
    verdicts._toolchain.cache_clear()
    assert Verdicts("cuda:90", tmp_path).find("one") == ANSWER


def test_a_text_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a folder that cannot be written costs only that."""
    monkeypatch.setattr(kernel_module, "cache_folder", lambda: tmp_path)
    asked: list[str] = []

    def counted(order, records):
        asked.extend(record["name"] for record in records)
        return answers(order, records)

    monkeypatch.setattr(crosscompile, "answers", counted)
    (first,) = compile_module(text_of(), [record_of()], "cuda:90")
    (again,) = compile_module(text_of(name="other"), [record_of("other")], "cuda:90")
    assert asked == ["k"]
    assert (again.kernel, again.registers, again.ok) == ("other", first.registers, True)
    blocked = tmp_path / "verdicts"
    for path in blocked.iterdir():
        path.unlink()
    blocked.rmdir()
    blocked.touch()
    assert compile_module(text_of(), [record_of()], "cuda:90")[0].ok
    assert asked == ["k", "k"]
