"""manifest.json of a generated package: the artifact, where its data lies, every file's hash."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..compiler.artifact import from_json, kept_of, to_json
from ..spec.errors import DataError, UsageError

if TYPE_CHECKING:
    from ..compiler.artifact import Artifact, Kept

MANIFEST = "manifest.json"
FORMAT = 1

UNCHECKED = ("README.md",)
"""Files that may be changed without a word: nothing is read from them."""


STEPS = "decode"
"""The folder with the kernels of nets that write, one step on: a folder for each net."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """A net that writes, one step on: its kernels, and what is kept between two steps."""

    artifact: Artifact
    kept: Kept


@dataclass(frozen=True, slots=True)
class Package:
    """A package on disk.

    `data` is the folder of the training data.  `bundled` says for the number of a data line what of
    it lies in the package itself.  `edited` names the files that are not as they were generated.
    """

    folder: Path
    artifact: Artifact
    variant: str | None
    data: Path
    bundled: Mapping[int, Mapping[str, Any]]
    edited: tuple[str, ...]
    steps: Mapping[str, Continuation]


def manifest(
    artifact: Artifact,
    files: Mapping[str, bytes],
    *,
    root: str,
    bundled: Mapping[int, Mapping[str, Any]],
    made: Mapping[str, Any],
    steps: Mapping[str, Continuation],
) -> str:
    """The text of a manifest; `files` are all others of the package.

    `root` is the folder of the training data as seen from the package, `made` how it was compiled.
    Kernels and sources are not repeated: they are read from their files.
    """
    described = json.loads(to_json(artifact))
    described["spec"] = list(artifact.spec)
    content: dict[str, Any] = {
        "package": FORMAT,
        **made,
        "data": {"root": root, "bundled": {str(line): dict(b) for line, b in bundled.items()}},
        "files": {name: _hash(files[name]) for name in sorted(files)},
        "artifact": described,
        "steps": {net: _described_step(step) for net, step in steps.items()},
    }
    return json.dumps({"sha256": _digest(content), **content}, indent=1) + "\n"


def read(folder: Path, *, allow_edited: bool = False) -> Package:
    """The package in a folder.

    Raises: UsageError when there is none, or when files were changed and that is not allowed.
    """
    content = _content(folder)
    edited = tuple(name for name in changed(folder, content) if name not in UNCHECKED)
    kept = [name for name in edited if not (folder / name).is_file()]
    if kept or (edited and not allow_edited):
        missing = (
            f"`{kept[0]}` is missing" if kept else f"{_listed(edited)} changed since `weft compile`"
        )
        hint = (
            "compile it again"
            if kept
            else "on purpose? then add --allow-edited; if not, compile again"
        )
        raise UsageError(f"the package `{folder}` is not as it was written: {missing}", hint=hint)
    described = dict(content["artifact"])
    try:
        texts = {n: (folder / n).read_text("utf-8") for n in described["files"] + described["spec"]}
        kernels = {name: texts[name] for name in described["files"]}
        described["spec"] = {name: texts[name] for name in described["spec"]}
        artifact = from_json(json.dumps(described), kernels)
        steps = {
            net: _step(folder / STEPS / net, step, artifact)
            for net, step in content.get("steps", {}).items()
        }
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"the package `{folder}` cannot be read: {error}", hint="compile it again"
        ) from None
    data = content["data"]
    return Package(
        folder,
        artifact,
        content.get("variant"),
        (folder / data["root"]).resolve(),
        {int(line): bundle for line, bundle in data["bundled"].items()},
        edited,
        steps,
    )


def _described_step(step: Continuation) -> dict[str, Any]:
    """As JSON data, without what the artifact of the package says too."""
    described = json.loads(to_json(step.artifact))
    described |= {"parameters": [], "spec": {}, "traffic": {}}
    return {"kept": dataclasses.asdict(step.kept), "artifact": described}


def _step(folder: Path, described: Mapping[str, Any], whole: Artifact) -> Continuation:
    data = described["artifact"]
    texts = {name: (folder / name).read_text("utf-8") for name in data["files"]}
    found = from_json(json.dumps(data), texts)
    artifact = dataclasses.replace(found, parameters=whole.parameters, spec=whole.spec)
    return Continuation(artifact, kept_of(described["kept"]))


def hashes(folder: Path) -> dict[str, str] | None:
    """Every file's hash as the package in a folder was written, None if there is none."""
    try:
        return dict(_content(folder)["files"])
    except UsageError:
        return None


def changed(folder: Path, content: Mapping[str, Any] | None = None) -> list[str]:
    """Files of a package that are missing or not as they were written, the manifest included."""
    content = _content(folder) if content is None else content
    found = []
    for name, expected in content["files"].items():
        try:
            if _hash((folder / name).read_bytes()) != expected:
                found.append(name)
        except OSError:
            found.append(name)
    inner = {name: value for name, value in content.items() if name != "sha256"}
    return found + ([MANIFEST] if content.get("sha256") != _digest(inner) else [])


def _content(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_bytes())
        sound = isinstance(content, dict) and {"package", "data", "files", "artifact"} <= set(
            content
        )
    except OSError as error:
        raise UsageError(f"`{path}` cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        sound = False
    if not sound:
        raise UsageError(f"`{path}` is damaged: it is no manifest", hint="compile it again")
    if content["package"] != FORMAT:
        raise UsageError(f"`{path}` has format {content['package']}, this is {FORMAT}")
    return content


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{shown}{more} {'was' if len(names) == 1 else 'were'}"


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _digest(content: Mapping[str, Any]) -> str:
    """The hash of a manifest's content, however it is laid out."""
    return _hash(json.dumps(content, sort_keys=True).encode())
