"""Compile C with the machine's own compiler, keep the result, load it.

A library's name in the cache is `<key>.<digest>.so`: the key names everything that went into it
(source, flags, compiler, processor), the digest its bytes. A file is published by one rename and
believed only if its bytes still have that digest, so that neither a crash, a full disk, a second
process nor a flipped bit can hand out a broken library: it is then compiled again.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..spec.errors import DeviceError, InternalError
from .arena import arena
from .machine import Cpu, cpu, threads

__all__ = ["FLAGS", "Compiler", "Cpu", "arena", "build", "compiler", "cpu", "load", "threads"]

FLAGS = (
    "-std=gnu11",
    "-O3",
    "-fno-ipa-cp-clone",
    "-march=native",
    "-fopenmp",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-signed-zeros",
)
"""Never -ffast-math: merely loading such a library flushes everybody's subnormals to zero.  Clones
of the register tiles for constant strides take a quarter of the time to compile and gain nothing.
"""

Progress = Callable[[str], None]

_LAYOUT = "1"  # of the cache: part of every key
_KEPT = 256  # libraries in the cache; the least recently used go first
_ABANDONED = 86400.0  # seconds after which a build folder belongs to nobody
_PARALLEL = "#include <omp.h>\nint probe(void) { return omp_get_max_threads(); }\n"
_ALONE = "#include <math.h>\nfloat probe(float x) { return sqrtf(x); }\n"
SOURCE = "step.c"  # what a source is called while it is compiled
_ARGUMENTS = ("-w", "-fPIC", "-shared", SOURCE, "-o", "step.so", "-lm")


@dataclass(frozen=True, slots=True)
class Compiler:
    """A C compiler: the command that starts it, and the line that identifies it."""

    command: tuple[str, ...]
    version: str


def build(
    source: str,
    *,
    headers: Mapping[str, str] | None = None,
    flags: Sequence[str] = FLAGS,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Path:
    """The shared library compiled from `source`, from the cache if it holds it.

    `headers` are the files that it includes, by name.

    Raises: DeviceError without a working C compiler, InternalError if it refuses the source.
    """
    chosen = compiler()
    options = _options(tuple(flags), chosen)
    texts = {**(headers or {}), SOURCE: source}
    key = _key(texts, options, chosen)
    folder = _writable(Path(cache_dir) if cache_dir is not None else _default_folder())
    found = _cached(folder, key)
    if found is not None:
        return found
    with _only_one(folder / f"{key}.lock"):
        found = _cached(folder, key)
        if found is not None:
            return found
        if progress is not None:
            progress(f"compiling with {chosen.version}")
        try:
            return _compile(texts, options, chosen, folder, key)
        except OSError as error:  # the disk is full, or the folder is gone
            if folder == _private_folder():
                raise DeviceError(f"cannot write the compiled library: {error}") from error
            return _compile(texts, options, chosen, _private_folder(), key)


def load(path: str | os.PathLike[str]) -> ctypes.CDLL:
    """The library that `build` made.

    Raises: DeviceError if its bytes are not the ones that were built, or the system refuses it.
    """
    path = Path(path)
    if not _sound(path):
        path.unlink(missing_ok=True)
        raise DeviceError(f"{path} is damaged", hint="run again: it will be compiled anew")
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        hint = "set XDG_CACHE_HOME to a folder that allows libraries to be loaded"
        raise DeviceError(f"cannot load {path}: {error}", hint=hint) from error


def compiler() -> Compiler:
    """The C compiler: $CC if it is set, else cc, gcc or clang.

    Raises: DeviceError if there is none.
    """
    return _compiler(os.environ.get("CC", ""), os.environ.get("PATH", ""))


# ---- the compiler --------------------------------------------------------------------------------


@cache
def _compiler(asked: str, _path: str) -> Compiler:
    candidates = [tuple(shlex.split(asked))] if asked.strip() else [("cc",), ("gcc",), ("clang",)]
    for command in candidates:
        if shutil.which(command[0]) is None:
            continue
        try:
            answer = _run([*command, "--version"])
        except OSError:
            continue
        if answer.returncode == 0 and answer.stdout.strip():
            return Compiler(command, answer.stdout.strip().splitlines()[0])
    if asked.strip():
        raise DeviceError(f"CC={asked} is not a working C compiler", hint="unset or correct CC")
    hint = "install gcc or clang (Debian, Ubuntu: apt install gcc), or set CC"
    raise DeviceError("no C compiler found: training on the CPU compiles C", hint=hint)


@cache
def _options(flags: tuple[str, ...], chosen: Compiler) -> tuple[str, ...]:
    """The flags, as this compiler takes them on this machine."""
    wide = ("-mprefer-vector-width=512",) if "avx512_bf16" in cpu().features else ()
    no_openmp = tuple("-fopenmp-simd" if flag == "-fopenmp" else flag for flag in flags)
    spelled = tuple("-mcpu=native" if flag == "-march=native" else flag for flag in flags)
    portable = tuple(flag for flag in no_openmp if flag != "-march=native")
    wishes = [(*flags, *wide), flags, spelled, no_openmp, portable]
    told = ""
    for wish in dict.fromkeys(wishes):
        text = _PARALLEL if "-fopenmp" in wish else _ALONE
        with tempfile.TemporaryDirectory(prefix="weft-probe-") as folder:
            answer = _invoke({SOURCE: text}, wish, chosen, Path(folder))
        if answer.returncode == 0:
            return wish
        told = told or answer.stderr
    raise DeviceError(
        f"{shlex.join(chosen.command)} cannot compile a shared library:\n{_tail(told, 12)}",
        hint="install the C library's headers (Debian, Ubuntu: apt install libc6-dev), or set CC",
    )


def _invoke(
    texts: Mapping[str, str], options: Sequence[str], chosen: Compiler, folder: Path
) -> subprocess.CompletedProcess[str]:
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return _run([*chosen.command, *options, *_ARGUMENTS], folder)


def _run(command: Sequence[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"LC_ALL": "C"},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def _compile(
    texts: Mapping[str, str], options: Sequence[str], chosen: Compiler, folder: Path, key: str
) -> Path:
    with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as name:
        place = Path(name)
        answer = _invoke(texts, options, chosen, place)
        if answer.returncode != 0:
            kept = folder / f"{key}.c"
            shutil.copy(place / SOURCE, kept)
            told = _tail(answer.stderr or answer.stdout, 30)
            raise InternalError(
                f"{chosen.version} refused the emitted C ({kept})",
                around=f"{told}\n{' '.join(options)}",
            )
        library = place / "step.so"
        target = folder / f"{key}.{_digest(library)}.so"
        with library.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(library, target)
    _prune(folder, target)
    return target


def _tail(text: str, lines: int) -> str:
    return "\n".join(text.strip().splitlines()[:lines])


# ---- the cache -----------------------------------------------------------------------------------


def _key(texts: Mapping[str, str], options: Sequence[str], chosen: Compiler) -> str:
    machine = cpu()
    parts = [_LAYOUT, dict(texts), list(options), list(chosen.command), chosen.version]
    parts += [machine.model, machine.architecture, sorted(machine.features)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def _sound(path: Path) -> bool:
    """Whether the bytes are the ones that the name promises."""
    try:
        return path.name.split(".")[1:] == [_digest(path), "so"]
    except OSError:
        return False


def _cached(folder: Path, key: str) -> Path | None:
    for path in sorted(folder.glob(f"{key}.*.so")):
        if _sound(path):
            with contextlib.suppress(OSError):
                os.utime(path)
            return path
        with contextlib.suppress(OSError):
            path.unlink()
    return None


def _prune(folder: Path, keep: Path) -> None:
    """Forget the libraries that were not used for longest, and what killed builds left behind."""
    with contextlib.suppress(OSError):
        files = sorted(folder.glob("*.so"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in [path for path in files if path != keep][_KEPT:]:
            path.unlink(missing_ok=True)
            (folder / f"{path.name.split('.')[0]}.lock").unlink(missing_ok=True)
        for left in folder.glob(".build-*"):
            if time.time() - left.stat().st_mtime > _ABANDONED:
                shutil.rmtree(left, ignore_errors=True)


def _default_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        home = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    except RuntimeError:  # no home folder
        return _private_folder()
    return home / "weft" / "native"


def _writable(folder: Path) -> Path:
    """The folder, made if need be; a private one for this process where it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return _private_folder()


@cache
def _private_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="weft-native-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """One process at a time, where the file system knows locks; without them both compile."""
    try:
        import fcntl

        file = path.open("w")
    except (ImportError, OSError):
        yield
        return
    with file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
