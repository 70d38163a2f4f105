"""Generated Triton modules on disk: stored under their hash, imported only if it still fits.

Triton reads a kernel's source through `inspect`, so the text has to be in a real file.
"""

from __future__ import annotations

import hashlib
import linecache
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from ..spec.errors import DeviceError


def digest(text: str) -> str:
    """The SHA-256 of a module's text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def cache_folder() -> Path:
    """Where generated modules are kept: `$XDG_CACHE_HOME/weft/triton`, or below `~/.cache`."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "weft" / "triton"


def store(text: str, folder: Path | None = None) -> Path:
    """A file with this text in the cache; one that is there and intact is kept.

    Processes may store the same text at the same time: the file appears whole or not at all.

    Raises: DeviceError when the folder cannot be written.
    """
    folder = folder or cache_folder()
    path = folder / f"{digest(text)}.py"
    try:
        if path.is_file() and path.read_bytes() == text.encode():
            return path
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError as error:
        raise DeviceError(
            f"cannot write the kernels to {folder}: {error}",
            hint="set XDG_CACHE_HOME to a folder that can be written",
        ) from error
    return path


def load(path: Path, expected: str) -> ModuleType:
    """The module in the file `path`, whose text must have the SHA-256 `expected`.

    What is executed, and what Triton will read as source, is the text that was checked.

    Raises: DeviceError when the file is missing or was changed.
    """
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise DeviceError(f"cannot read the kernels in {path}: {error}") from error
    if digest(text) != expected:
        raise DeviceError(
            f"the kernels in {path} are not the ones that were compiled",
            hint="delete the file and run again",
        )
    name = f"weft_kernels_{expected[:16]}"
    module = ModuleType(name)
    module.__file__ = str(path)
    linecache.cache[str(path)] = (len(text), None, text.splitlines(keepends=True), str(path))
    sys.modules[name] = module
    exec(compile(text, str(path), "exec"), module.__dict__)
    return module
