"""Every limit has a message of its own, and is met in bounded time and memory."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from weft.spec.errors import SpecError
from weft.spec.load import LARGEST, load, load_text

NET = "net n {\n  in x: f32[B, 8]\n  x -> relu\n}\n"
YAML_NET = "net:\n  n:\n    in:\n      x: f32[B, 8]\n    out: x -> relu\n"
MEASURE = """
import json, resource, sys, time
from weft.compiler.build import elaborate
from weft.spec.errors import SpecError
from weft.spec.load import load
for path in sys.argv[1:]:
    started, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        elaborate(load(path))
        codes = []
    except SpecError as error:
        codes = [found.code for found in error.diagnostics]
        len(str(error))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = time.process_time() - started
    print(json.dumps([codes, seconds, (after - before) / 1024]))
"""


def measured(*paths: Path, most: int = 2048) -> list[tuple[list[str], float, float]]:
    """Codes, seconds and MiB of memory for each spec, checked in a process of its own.

    The process may not grow beyond `most` MiB.
    """

    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (most << 20, most << 20))

    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, paths)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=bound,
        timeout=120,
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def bomb(levels: int, width: int) -> str:
    """Aliases of aliases: a few lines that stand for width ** levels entries."""
    lines = ["a0: &a0 [" + ", ".join("x" * width) + "]"]
    for n in range(1, levels):
        lines.append(f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * width) + "]")
    return "\n".join([*lines, f"param: *a{levels - 1}", ""])


def test_an_alias_bomb_is_refused_where_it_stands(tmp_path: Path) -> None:
    warm, path = tmp_path / "warm.yaml", tmp_path / "bomb.yaml"
    warm.write_text("param:\n  a: &x 1\n" + YAML_NET)
    path.write_text(bomb(30, 10))
    (codes, _, _), (refused, seconds, grown) = measured(warm, path)
    assert codes == ["E120"]
    assert refused.count("E120") == 30 + 29 * 10 + 1
    assert grown < 50, f"{grown} MiB"
    assert seconds < 2.0, "far below on a quiet machine; what may not happen is 10 ** 30"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.weft", NET + "#" * LARGEST, "larger than 1 MiB"),
        ("t.yaml", YAML_NET + "#" * LARGEST, "larger than 1 MiB"),
        ("t.weft", f"param a={'(' * 65}1{')' * 65}\n" + NET, "more than 64 brackets"),
        ("t.weft", f"param a={'[' * 65}1{']' * 65}\n" + NET, "more than 64 brackets"),
        ("t.weft", "block A { x -> " + "residual { " * 64 + "relu" + " }" * 65, "64 brackets"),
        ("t.weft", f"param a={'-' * 131}1\n" + NET, "more than 130 operators"),
        ("t.yaml", f"param:\n  a: {'[' * 65}{']' * 65}\n" + YAML_NET, "more than 64 levels"),
        ("t.yaml", f"param:\n  a: {'(' * 65}1{')' * 65}\n" + YAML_NET, "more than 64 brackets"),
    ],
)
def test_limits_of_a_text(name: str, text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_text(text, name)
    (found,) = caught.value.diagnostics
    assert found.code == "E105" and message in found.message
    assert found.hint, "says what to do"


def test_one_less_is_no_error() -> None:
    for text in (
        f"param a={'(' * 64}1{')' * 64}\n",
        f"param a={'-' * 128}1\n",
        f"param a=1{'+1' * 128}\n",
    ):
        assert load_text(text + NET, "t.weft").constants["a"] in (1, 129)


def test_a_file_of_the_largest_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.weft"
    path.write_text(NET + "#" * (LARGEST - len(NET)))
    assert [net.name for net in load(path).file.nets] == ["n"]
    path.write_text(NET + "#" * (LARGEST + 1 - len(NET)))
    with pytest.raises(SpecError, match="larger than 1 MiB"):
        load(path)


def test_texts_that_could_take_long_do_not(tmp_path: Path) -> None:
    """A quarter of a megabyte of nonsense each: refused, with at most a thousand findings."""
    kinds = {
        "a.weft": "(\n" * 300_000,
        "b.weft": "f(a\n" * 200_000,
        "c.weft": "param a=" + "1+" * 400_000,
        "d.weft": "@ " * 400_000,
        "e.weft": "net n {\n" * 100_000,
        "f.weft": 'param a="' * 100_000,
        "g.weft": "x = y z\n" * 100_000,
        "h.weft": "a\n" * 400_000,
        "i.weft": "param a=[" + "1, " * 300_000,
        "j.yaml": "a: b\n" * 100_000,
        "k.yaml": "- a\n" * 200_000,
        "l.yaml": "net:\n  n:\n    in:\n" + "      x: f32[B\n" * 60_000,
        "m.yaml": "a: *b\n" * 100_000,
        "n.yaml": "a: " + "x " * 400_000,
        "o.yaml": "? [a]\n: b\n" * 60_000,
    }
    for name, text in kinds.items():
        (tmp_path / name).write_text(text[: LARGEST // 4])
    for (codes, seconds, grown), name in zip(
        measured(*(tmp_path / name for name in kinds)), kinds, strict=True
    ):
        assert codes and len(codes) <= 1001, name
        assert seconds < 15, f"{name}: {seconds} s"
        assert grown < 1024, f"{name}: {grown} MiB"


def test_expansion_ends_in_bounded_time_and_memory(tmp_path: Path) -> None:
    """Blocks in blocks unfold to 100,000 operations at most, in loops of 10,000 turns at most."""
    grows = "block A0 { relu -> relu }\n" + "".join(
        f"block A{n} {{ A{n - 1} -> A{n - 1} }}\n" for n in range(1, 40)
    )
    net = "net n {{\n  in x: f32[B, 8]\n  x -> {}\n}}\n"
    kinds = {
        "doubling.weft": (grows + net.format("A39"), "E319"),
        "turns.weft": (net.format("repeat 10001 { relu }"), "E319"),
        "itself.weft": ("block A { A }\n" + net.format("A"), "E308"),
    }
    for name, (text, _) in kinds.items():
        (tmp_path / name).write_text(text)
    found = measured(*(tmp_path / name for name in kinds))
    for (codes, seconds, grown), (name, (_, code)) in zip(found, kinds.items(), strict=True):
        assert codes == [code], name
        assert seconds < 60 and grown < 1500, f"{name}: {seconds} s, {grown} MiB"
