"""Writes the generated package of an artifact to a folder, whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..compiler.emit.package import Origin, engine_module, package_files, relocate
from ..spec.errors import DataError, UsageError
from .carried import carried
from .data.bundle import pack
from .data.dataset import GENERATED, read
from .manifest import MANIFEST, STEPS, Continuation, changed, hashes, manifest
from .writers import writer_of

if TYPE_CHECKING:
    from ..compiler.artifact import Artifact, Entry


def write_package(
    artifact: Artifact,
    folder: str | os.PathLike[str],
    *,
    root: Path,
    force: bool = False,
    bundle: bool = False,
    variant: str | None = None,
    settings: Sequence[str] = (),
    steps: Mapping[str, Continuation] | None = None,
) -> Path:
    """Write the package of an artifact; `root` is the folder of the spec, where its data lies.

    `bundle` copies all the data that the spec reads; what NumPy alone cannot read is copied anyway.
    `force` overwrites a folder that is no package, and files that were edited.  Files that are not
    the package's are never touched.  `variant` and `settings` are those it was compiled with;
    `steps` are the nets that write, one step on.

    Raises: UsageError when that would overwrite what weft did not write, DataError when data for
    the package cannot be read or the folder not be written.
    """
    _check(artifact)
    place = Path(os.path.realpath(folder))
    origin = Origin(__version__, variant, tuple(settings))
    files = contents(artifact, place, root, bundle=bundle, origin=origin, steps=steps or {})
    try:
        if place.exists():
            _refresh(place, files, force=force)
        else:
            _create(place, files)
    except OSError as error:
        what = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
        where = f" ({error.filename})" if error.filename else ""
        raise DataError(f"the package `{folder}` cannot be written: {what}{where}") from None
    return Path(folder)


def contents(
    artifact: Artifact,
    place: Path,
    root: Path,
    *,
    bundle: bool,
    origin: Origin,
    steps: Mapping[str, Continuation],
) -> dict[str, bytes]:
    """Every file of the package that is to lie at `place`.

    Raises: DataError when data for the package cannot be read.
    """
    start = ["runtime/standalone.py", f"runtime/{engine_module(artifact.target)}.py"]
    if artifact.target != "cpu":
        start.append("runtime/interpreter_worker.py")
    writes = artifact.train is not None and any(map(_writes, artifact.entries))
    start += ["runtime/standalone_sample.py"] if writes else []
    data, bundled = _bundles(artifact, root, everything=bundle)
    inside = {line: found["file"] for line, found in bundled.items()}
    texts = package_files(artifact, carried(start, origin.version), origin, inside, writes=writes)
    files = {name: text.encode() for name, text in texts.items()} | data
    moved = {net: replace(s, artifact=relocate(s.artifact)) for net, s in steps.items() if writes}
    for net, step in moved.items():
        for name, text in step.artifact.files.items():
            files[f"{STEPS}/{net}/{name}"] = text.encode()
    seen = os.path.relpath(os.path.realpath(root), place)
    made = {
        "weft": origin.version,
        "variant": origin.variant,
        "settings": list(origin.settings),
    }
    text = manifest(relocate(artifact), files, root=seen, bundled=bundled, made=made, steps=moved)
    return {**files, MANIFEST: text.encode()}


def _writes(entry: Entry) -> bool:
    """Is it that of a net which predicts tokens?"""
    try:
        return entry.kind == "forward" and writer_of(entry).entries > 1
    except UsageError:
        return False


def _check(artifact: Artifact) -> None:
    """Raises: UsageError for what cannot be a package."""
    if artifact.target == "reference" or not artifact.files:
        raise UsageError(
            f"the target `{artifact.target}` has no kernels to write", hint="try --target cpu"
        )


# ---- data ----------------------------------------------------------------------------------------


def _bundles(
    artifact: Artifact, root: Path, *, everything: bool
) -> tuple[dict[str, bytes], dict[int, dict[str, Any]]]:
    """The files of `data/`, and what the manifest says of them for each data line."""
    files: dict[str, bytes] = {}
    bundled: dict[int, dict[str, Any]] = {}
    for number, line in enumerate((artifact.train or {}).get("data") or ()):
        needed = _needs_more(line)
        if line["source"] in GENERATED or not (needed or everything):
            continue
        try:
            if line["settings"].get("zoom") is not None and "fit" in line["settings"]:
                raise DataError(
                    "images that `zoom` cuts out of their files cannot be copied into a package",
                    hint="compile without the data; train.py --data ROOT names its folder",
                )
            data, facts = pack(read(line, root))
        except DataError:
            if everything:
                raise
            continue  # the package will say what is missing when it is trained
        name = f"data/{'_'.join(line['names'])}.npz"
        name = name if name not in files else f"data/{number}.npz"
        files[name] = data
        bundled[number] = {"file": name, **facts}
    return files, bundled


def _needs_more(line: Mapping[str, Any]) -> bool:
    """Whether NumPy alone cannot read this data line."""
    if line["source"] == "image":
        return not str(line["settings"]["path"]).lower().endswith((".pgm", ".ppm"))
    known = (None, "bytes", "words")
    return line["source"] == "digits" or line["settings"].get("vocabulary") not in known


# ---- writing -------------------------------------------------------------------------------------


def _create(place: Path, files: Mapping[str, bytes]) -> None:
    """A folder that was not there appears with all its files at once."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with _stage(place.parent / f".{place.name}.{os.getpid()}.tmp", files) as stage:
        os.rename(stage, place)


def _refresh(place: Path, files: Mapping[str, bytes], *, force: bool) -> None:
    """The files of a package replace those of an earlier one; everything is on the disk before.

    The manifest goes last: a package that was interrupted in between does not fit it, and is
    refused until it is written again.
    """
    if not place.is_dir():
        raise UsageError(f"`{place}` is a file, not a folder")
    before = hashes(place)
    if not force:
        _protect(place, files, before)
    with _stage(place / f".weft.{os.getpid()}.tmp", files) as stage:
        for name in files:
            if name != MANIFEST:
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(stage / name, place / name)
        for name in before or ():
            if name not in files:
                (place / name).unlink(missing_ok=True)
        os.replace(stage / MANIFEST, place / MANIFEST)


@contextlib.contextmanager
def _stage(stage: Path, files: Mapping[str, bytes]) -> Iterator[Path]:
    """All files in a folder of their own, which is gone afterwards."""
    shutil.rmtree(stage, ignore_errors=True)
    try:
        for name, data in files.items():
            (stage / name).parent.mkdir(parents=True, exist_ok=True)
            (stage / name).write_bytes(data)
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _protect(place: Path, files: Mapping[str, bytes], before: Mapping[str, str] | None) -> None:
    """Raises: UsageError when files would be lost that weft did not write."""
    if before is None:
        if any(place.iterdir()):
            raise UsageError(
                f"`{place}` is not empty and no package of weft",
                hint="choose another folder, or --force to write into this one",
            )
        return
    ours = {name for name in before if name not in changed(place)}
    lost = [
        name
        for name in {**files, **before}
        if name not in (*ours, MANIFEST) and _differs(place / name, files.get(name))
    ]
    if lost:
        shown = ", ".join(f"`{name}`" for name in sorted(lost)[:5])
        raise UsageError(
            f"`{place}` holds changes that weft did not make: {shown}",
            hint="keep them and choose another folder, or --force to overwrite them",
        )


def _differs(path: Path, data: bytes | None) -> bool:
    """Whether there is such a file, with other content."""
    try:
        return path.read_bytes() != data
    except FileNotFoundError:
        return False
