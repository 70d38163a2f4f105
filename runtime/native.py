"""Compile C with the machine's own compiler, keep the result, load it.

A file in the cache is called `<key>.<digest>.so`, or `.o`: the key names everything that went
into it (source, flags, compiler, processor), the digest its bytes.  A file is published by one
rename and believed only if its bytes still have that digest, so that neither a crash, a full disk,
a second process nor a flipped bit can hand out a broken one: it is then compiled again.

What a source calls may stand in *units*: an `x.c` beside an `x.h` that is included.  A unit does
not depend on who calls it, so its object is kept too, and whatever needs it is linked with it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..spec.errors import DeviceError, InternalError
from .arena import arena
from .c_compiler import Compiler, Toolchain, compiler, options_of, tail
from .machine import Cpu, cpu, threads

__all__ = ["FLAGS", "Compiler", "Cpu", "arena", "build", "compiler", "cpu", "load", "threads"]

FLAGS = (
    "-std=gnu11",
    "-O3",
    "-fno-ipa-cp-clone",
    "-fno-predictive-commoning",
    "-march=native",
    "-fopenmp",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-signed-zeros",
)
"""Never -ffast-math: merely loading such a library flushes everybody's subnormals to zero.  Clones
of the register tiles for constant strides take a quarter of the time to compile and gain nothing.
Predictive commoning delays stores, and stores again what lay behind them: what another thread has
made there in the meantime would be lost.
"""

Progress = Callable[[str], None]

_LAYOUT = "2"  # of the cache: part of every key
_KEPT = 256  # libraries in the cache, and as many objects; the least recently used go first
_ABANDONED = 86400.0  # seconds after which a build folder belongs to nobody
_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
SOURCE = "step.c"  # what a source is called while it is compiled


def build(
    source: str,
    *,
    files: Mapping[str, str] | None = None,
    flags: Sequence[str] = FLAGS,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Path:
    """The shared library compiled from `source`, from the cache if it holds it.

    `files` are those that it includes, and the units behind them, by name.

    Raises: DeviceError without a working C compiler, InternalError if it refuses the source.
    """
    chosen = compiler()
    tools = Toolchain(chosen, options_of(tuple(flags), chosen))
    job = _Job({**(files or {}), SOURCE: source}, tools)
    folder = _writable(Path(cache_dir) if cache_dir is not None else _default_folder())

    def make(place: Path) -> Path:
        if progress is not None:
            progress(f"compiling with {chosen.version}")
        return job.library(place, folder)

    try:
        return _kept(folder, job.key(), "so", make)
    except OSError as error:  # the disk is full, or the folder is gone
        if folder == _private_folder():
            raise DeviceError(f"cannot write the compiled library: {error}") from error
        folder = _private_folder()
        return _kept(folder, job.key(), "so", lambda place: job.library(place, folder))


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


# ---- what is compiled ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Job:
    """A source, the texts that it may lean on, and what compiles them."""

    texts: Mapping[str, str]
    tools: Toolchain

    def sources(self) -> list[str]:
        """The source, and every unit that it needs itself or through others; not those whose text
        it includes.
        """
        found, inside = [SOURCE], self.leaning(SOURCE)
        for name in found:
            units = (f"{header.removesuffix('.h')}.c" for header in self.leaning(name))
            found += [u for u in units if u in self.texts and u not in (*found, *inside)]
        return found

    def leaning(self, name: str) -> dict[str, str]:
        """A file and all that it includes, by name."""
        found: dict[str, str] = {}
        waiting = [name]
        while waiting:
            file = waiting.pop()
            if file not in found and file in self.texts:
                found[file] = self.texts[file]
                waiting += _INCLUDE.findall(found[file])
        return dict(sorted(found.items()))

    def key(self, name: str | None = None) -> str:
        """Everything that the object of a file depends on; without a name, the library."""
        machine, tools = cpu(), self.tools
        texts = [self.leaning(one) for one in ([name] if name else self.sources())]
        known = [tools.compiler.version, machine.model, machine.architecture]
        parts = [_LAYOUT, name, texts, tools.options, tools.compiler.command, known]
        text = json.dumps([*parts, sorted(machine.features)])
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def library(self, place: Path, cache: Path) -> Path:
        """Compile the source in a folder, beside it the units that the cache lacks, and link."""
        source, *units = self.sources()
        units.sort(key=lambda unit: -len(self.texts[unit]))  # what takes longest begins first
        with ThreadPoolExecutor(max(1, threads())) as workers:
            step = workers.submit(self.object, place, source, cache)
            made = [workers.submit(self._unit, place, name, cache) for name in units]
            objects = [one.result() for one in (step, *made)]
        library = place / "step.so"
        answer = self.tools.link(objects, library)
        if answer.returncode != 0:
            self._refuse(answer.stderr, place / SOURCE, cache)
        return library

    def object(self, place: Path, name: str, cache: Path) -> Path:
        """Compile one file in a folder."""
        for file, text in self.leaning(name).items():
            (place / file).write_text(text, encoding="utf-8")
        answer = self.tools.compile(place / name)
        if answer.returncode != 0:
            self._refuse(answer.stderr or answer.stdout, place / name, cache)
        return (place / name).with_suffix(".o")

    def _unit(self, place: Path, name: str, cache: Path) -> Path:
        """The object of a unit, from the cache or compiled for it: a copy in the folder."""
        kept = _kept(cache, self.key(name), "o", lambda own: self.object(own, name, cache))
        return Path(shutil.copy(kept, (place / name).with_suffix(".o")))

    def _refuse(self, told: str, source: Path, cache: Path) -> None:
        kept = cache / f"{self.key()}.c"
        shutil.copy(source, kept)
        raise InternalError(
            f"{self.tools.compiler.version} refused the emitted C ({kept})",
            around=f"{tail(told, 30)}\n{' '.join(self.tools.options)}",
        )


# ---- the cache -----------------------------------------------------------------------------------


def _kept(folder: Path, key: str, kind: str, make: Callable[[Path], Path]) -> Path:
    """The file of a key, made in a folder of its own unless the cache holds it."""
    found = _cached(folder, key, kind)
    if found is not None:
        return found
    with _only_one(folder / f"{key}.lock"):
        found = _cached(folder, key, kind)
        if found is not None:
            return found
        with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as name:
            made = make(Path(name))
            target = folder / f"{key}.{_digest(made)}.{kind}"
            with made.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(made, target)
        _prune(folder, target)
        return target


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def _sound(path: Path) -> bool:
    """Whether the bytes are the ones that the name promises."""
    try:
        return path.name.split(".")[1:] == [_digest(path), path.name.split(".")[-1]]
    except OSError:
        return False


def _cached(folder: Path, key: str, kind: str) -> Path | None:
    for path in sorted(folder.glob(f"{key}.*.{kind}")):
        if _sound(path):
            with contextlib.suppress(OSError):
                os.utime(path)
            return path
        with contextlib.suppress(OSError):
            path.unlink()
    return None


def _prune(folder: Path, keep: Path) -> None:
    """Forget what was not used for longest, and what killed builds left behind."""
    with contextlib.suppress(OSError):
        found = list(folder.glob(f"*{keep.suffix}"))
        files = sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
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
