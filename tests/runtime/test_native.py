"""Compiling and loading C: the cache under crashes, damage and company; machines without cc."""

from __future__ import annotations

import ctypes
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.guarded import guarded
from weft.runtime import machine, native
from weft.runtime.arena import arena
from weft.spec.errors import DeviceError, InternalError

SOURCE = "#include <math.h>\nfloat half_root(float x) { return sqrtf(x) / 2.0f; }\n"
REAL = native.compiler().command


def _answer(path: Path) -> float:
    function = native.load(path).half_root
    function.restype, function.argtypes = ctypes.c_float, [ctypes.c_float]
    return float(function(9.0))


def _wrapper(folder: Path, script: str) -> Path:
    """A compiler that runs `script` first and notes each library it is asked for in `log`."""
    path = folder / "cc-for-tests"
    real = " ".join(REAL)
    lines = ["#!/bin/sh", script, f'case "$*" in *-shared*) echo "$*" >> "{folder}/log";; esac']
    path.write_text("\n".join([*lines, f'exec {real} "$@"\n']))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def _compiled(folder: Path) -> int:
    """How often the wrapper was asked for a library, the probe of its flags not counted."""
    log = folder / "log"
    return max(0, len(log.read_text().splitlines()) - 1) if log.exists() else 0


def test_a_library_is_compiled_once_and_found_again(tmp_path: Path) -> None:
    told: list[str] = []
    first = native.build(SOURCE, cache_dir=tmp_path, progress=told.append)
    second = native.build(SOURCE, cache_dir=tmp_path, progress=told.append)
    assert first == second and _answer(first) == 1.5
    assert told == [f"compiling with {native.compiler().version}"]
    leftovers = [p.name for p in tmp_path.iterdir() if p.name.startswith(".build")]
    assert leftovers == []


def test_source_and_flags_make_another_library(tmp_path: Path) -> None:
    plain = native.build(SOURCE, cache_dir=tmp_path)
    other = native.build(SOURCE + "\n", cache_dir=tmp_path)
    flags = native.build(SOURCE, flags=("-O1", "-std=gnu11"), cache_dir=tmp_path)
    keys = {path.name.split(".")[0] for path in (plain, other, flags)}
    assert len(keys) == 3 and _answer(flags) == 1.5


HALF = {
    "half.h": '__attribute__((visibility("hidden"))) float half(float x);\n',
    "half.c": '#include "half.h"\nfloat half(float x) { return x / 2.0f; }\n',
    "poetry.c": "roses are red\n",
}
CALLER = (
    '#include "half.h"\n#include <math.h>\nfloat half_root(float x) { return half(sqrtf(x)); }\n'
)


def test_a_unit_is_compiled_once_for_all_that_call_it(tmp_path: Path) -> None:
    assert _answer(native.build(CALLER, files=HALF, cache_dir=tmp_path)) == 1.5
    (unit,) = tmp_path.glob("*.o")
    made = unit.stat().st_ino
    other = native.build(CALLER + "\n", files=HALF, cache_dir=tmp_path)
    assert _answer(other) == 1.5 and [p.stat().st_ino for p in tmp_path.glob("*.o")] == [made]
    changed = HALF | {"half.c": HALF["half.c"].replace("2.0f", "4.0f")}
    assert _answer(native.build(CALLER, files=changed, cache_dir=tmp_path)) == 0.75
    assert len(list(tmp_path.glob("*.o"))) == 2


def test_a_unit_may_need_others_and_is_not_linked_where_it_is_text(tmp_path: Path) -> None:
    rooted = {
        **HALF,
        "root.h": "float half_of_root(float x);\n",
        "root.c": '#include "root.h"\n' + CALLER.replace("half_root", "half_of_root"),
    }
    source = '#include "root.h"\nfloat half_root(float x) { return half_of_root(x); }\n'
    assert _answer(native.build(source, files=rooted, cache_dir=tmp_path)) == 1.5
    assert len(list(tmp_path.glob("*.o"))) == 2
    inside = '#include "half.c"\n' + CALLER
    assert _answer(native.build(inside, files=HALF, cache_dir=tmp_path / "own")) == 1.5
    assert not list((tmp_path / "own").glob("*.o"))


@pytest.mark.parametrize("harm", [b"", b"\x7fELF"])
def test_a_damaged_unit_is_compiled_again(tmp_path: Path, harm: bytes) -> None:
    native.build(CALLER, files=HALF, cache_dir=tmp_path)
    (unit,) = tmp_path.glob("*.o")
    unit.write_bytes(harm)
    assert _answer(native.build(CALLER + "\n", files=HALF, cache_dir=tmp_path)) == 1.5


def test_a_unit_that_does_not_compile_is_our_mistake(tmp_path: Path) -> None:
    broken = HALF | {"half.c": '#include "half.h"\nfloat half(float x) { return nothing; }\n'}
    with pytest.raises(InternalError, match="undeclared"):
        native.build(CALLER, files=broken, cache_dir=tmp_path)
    assert "return nothing" in next(tmp_path.glob("*.c")).read_text()
    with pytest.raises(InternalError, match="half"):  # declared, but nobody defines it
        native.build(CALLER, files={"half.h": HALF["half.h"]}, cache_dir=tmp_path)


def test_the_default_cache_follows_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert native.build(SOURCE).parent == tmp_path / "weft" / "native"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert native.build(SOURCE).parent == tmp_path / "home" / ".cache" / "weft" / "native"


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "append"])
def test_a_damaged_library_is_refused_and_compiled_again(tmp_path: Path, harm: str) -> None:
    path = native.build(SOURCE, cache_dir=tmp_path)
    whole = path.read_bytes()
    broken = {
        "cut": whole[: len(whole) // 2],
        "flip": whole[:900] + bytes([whole[900] ^ 1]) + whole[901:],
        "empty": b"",
        "append": whole + b"\0",
    }[harm]
    path.write_bytes(broken)
    with pytest.raises(DeviceError, match="is damaged") as caught:
        native.load(path)
    assert caught.value.hint == "run again: it will be compiled anew"
    path.write_bytes(broken)
    told: list[str] = []
    again = native.build(SOURCE, cache_dir=tmp_path, progress=told.append)
    assert len(told) == 1 and _answer(again) == 1.5


CHILD = """
import sys
from pathlib import Path
from weft.runtime import native
path = native.build(sys.argv[1], cache_dir=sys.argv[2])
native.load(path)
print(path.name)
"""


def _child(folder: Path, wrapper: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, SOURCE, str(folder / "cache")],
        env=os.environ | {"CC": str(wrapper)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_that_want_the_same_library_share_one(tmp_path: Path) -> None:
    wrapper = _wrapper(tmp_path, "sleep 0.2")
    children = [_child(tmp_path, wrapper) for _ in range(4)]
    answers = [child.communicate(timeout=60) for child in children]
    assert [child.returncode for child in children] == [0] * 4, answers
    assert len({out for out, _ in answers}) == 1
    wanted = [line for line in (tmp_path / "log").read_text().splitlines() if "-shared" in line]
    assert len(wanted) == 4 + 1  # each probes its flags, one compiles


def test_a_killed_build_leaves_nothing_that_is_believed(tmp_path: Path) -> None:
    slow = _wrapper(tmp_path, 'case "$PWD" in *.build-*) sleep 30;; esac')
    child = _child(tmp_path, slow)
    cache = tmp_path / "cache"
    deadline = time.monotonic() + 30
    while not list(cache.glob(".build-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    left = list(cache.glob(".build-*"))
    assert left and not list(cache.glob("*.so"))
    assert _answer(native.build(SOURCE, cache_dir=cache)) == 1.5
    for path in left:
        os.utime(path, (0, 0))
    native.build(SOURCE + "\n", cache_dir=cache)
    assert not list(cache.glob(".build-*"))  # a day later it is swept away


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    path = native.build(SOURCE, cache_dir=tmp_path / "file" / "cache")
    assert _answer(path) == 1.5
    assert tmp_path not in path.parents
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_full_disk_is_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target).parent == tmp_path:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    path = native.build(SOURCE, cache_dir=tmp_path)
    assert path.parent != tmp_path and _answer(path) == 1.5


def test_the_cache_forgets_what_was_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "_KEPT", 2)
    paths = [native.build(f"{SOURCE}\n/* {n} */", cache_dir=tmp_path) for n in range(3)]
    for age, path in enumerate(paths):
        os.utime(path, (1000 + age, 1000 + age))
    native.build(f"{SOURCE}\n/* 0 */", cache_dir=tmp_path)  # used again: the youngest now
    last = native.build(f"{SOURCE}\n/* 3 */", cache_dir=tmp_path)
    assert set(tmp_path.glob("*.so")) == {paths[0], paths[2], last}


def test_no_compiler_is_said_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="no C compiler found") as caught:
        native.build(SOURCE, cache_dir=tmp_path)
    assert "install gcc or clang" in str(caught.value)


@pytest.mark.parametrize("command", ["no-such-compiler", "false"])
def test_a_wrong_cc_is_named(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("CC", command)
    with pytest.raises(DeviceError, match=f"CC={command} is not a working C compiler"):
        native.compiler()


def test_cc_may_hold_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", f"{REAL[0]} -DFACTOR=2")
    path = native.build("float twice(float x) { return FACTOR * x; }", cache_dir=tmp_path)
    function = native.load(path).twice
    function.restype, function.argtypes = ctypes.c_float, [ctypes.c_float]
    assert function(3.0) == 6.0


@pytest.mark.skipif(machine.cpu().architecture != "x86_64", reason="names x86 architectures")
def test_cc_may_name_an_architecture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = """int wide(void) {
    #ifdef __AVX__
        return 1;
    #else
        return 0;
    #endif
    }"""
    found = {}
    for name in ("x86-64", "x86-64-v3"):
        monkeypatch.setenv("CC", f"{REAL[0]} -march={name}")
        found[name] = native.load(native.build(wide, cache_dir=tmp_path)).wide()
    assert found == {"x86-64": 0, "x86-64-v3": 1}


def test_source_that_does_not_compile_is_our_mistake(tmp_path: Path) -> None:
    with pytest.raises(InternalError) as caught:
        native.build("int f(void) { return nothing; }", cache_dir=tmp_path)
    told = str(caught.value)
    assert "nothing" in told and "undeclared" in told and "-march=native" in told
    (kept,) = tmp_path.glob("*.c")
    assert str(kept) in told


def test_a_compiler_without_openmp_still_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = 'case " $* " in *" -fopenmp "*) echo "cannot find -lgomp" >&2; exit 1;; esac'
    monkeypatch.setenv("CC", str(_wrapper(tmp_path, refuse)))
    path = native.build(SOURCE, cache_dir=tmp_path / "cache")
    assert _answer(path) == 1.5
    assert "-fopenmp-simd" in (tmp_path / "log").read_text().splitlines()[-1]


def test_a_compiler_that_refuses_flags_of_gcc_still_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = 'case "$*" in *-fno-ipa-cp-clone*) echo "unknown option" >&2; exit 1;; esac'
    monkeypatch.setenv("CC", str(_wrapper(tmp_path, refuse)))
    assert _answer(native.build(SOURCE, cache_dir=tmp_path / "cache")) == 1.5
    assert "-march=native" in (tmp_path / "log").read_text().splitlines()[-1]


def test_a_compiler_without_headers_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = 'case "$*" in *-shared*) echo "math.h: No such file" >&2; exit 1;; esac'
    monkeypatch.setenv("CC", str(_wrapper(tmp_path, refuse)))
    with pytest.raises(DeviceError, match="cannot compile a shared library") as caught:
        native.build(SOURCE, cache_dir=tmp_path / "cache")
    assert "math.h: No such file" in str(caught.value)


def test_loading_leaves_subnormals_alone(tmp_path: Path) -> None:
    """`-ffast-math` would flush them to zero in the whole process."""
    native.load(native.build(SOURCE, cache_dir=tmp_path))
    tiny = np.full(64, 1e-40, np.float32)
    assert (tiny * np.float32(0.5) > 0).all()
    assert not any("fast-math" in flag for flag in native.FLAGS)


def test_a_file_that_is_no_library_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"text")
    named = path.rename(tmp_path / f"{'0' * 32}.{native._digest(path)}.so")
    with pytest.raises(DeviceError, match="cannot load"):
        native.load(named)


# ---- the processor and memory --------------------------------------------------------------------

X86 = "processor\t: 0\nmodel name\t: Some  CPU @ 3GHz\nflags\t\t: fpu avx2\n\nmodel name\t: Other\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"


def test_the_processor_is_known() -> None:
    found = machine.cpu()
    assert found.model and found.cores >= 1 and found.cores <= (os.cpu_count() or 1)
    fields = machine._first_processor(X86)
    assert fields["model name"] == "Some  CPU @ 3GHz" and fields["flags"] == "fpu avx2"
    assert machine._arm_name(machine._first_processor(ARM)) == "ARM implementer 0x41 part 0xd0c"


def test_threads_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for asked, want in (("3", 3), ("5,2", 5), ("0", None), ("many", None), ("", None)):
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert machine.threads() == (want or machine.cpu().cores)


def test_a_quota_limits_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, want in (("150000 100000\n", 2), ("20000 100000\n", 1), ("max 100000\n", 1 << 30)):
        monkeypatch.setattr(machine, "_read", lambda path, text=text: text)
        assert machine._quota() == want


@pytest.mark.parametrize("count", [0, 1, 15, 1000])
def test_arenas_are_aligned_and_clear(count: int) -> None:
    memory = arena(count)
    assert memory.shape == (count,) and memory.dtype == np.float32
    assert (count == 0 or memory.ctypes.data % 64 == 0) and not memory.any()
    memory[:] = 1.0


def test_guard_zones_notice_strangers() -> None:
    memory = guarded(10, 16, offset=3)
    assert memory.intact() and np.isnan(memory.values).all() and memory.values.size == 10
    memory.values[:] = 1.0
    assert memory.intact()
    start = (memory.values.ctypes.data - memory.whole.ctypes.data) // 4
    for stray in (start - 1, start + 10, 0, memory.whole.size - 1):
        broken = guarded(10, 16, offset=3)
        broken.whole[stray] = 0.0
        assert not broken.intact()
