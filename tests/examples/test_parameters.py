"""Every example has exactly the parameters that its source, or its layer list, gives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from weft.spec.load import load

from .counts import FOLDER, counts

SPECS = sorted(
    path for path in FOLDER.rglob("*.weft") if re.search(r"^net ", path.read_text(), re.MULTILINE)
)


@pytest.mark.parametrize("folder", sorted({path.parent for path in SPECS}), ids=lambda p: p.name)
def test_every_variant_has_its_published_count(weft: Any, folder: Path) -> None:
    answer = weft("check", folder, "--variants")
    assert answer.code == 0, answer.err
    lines = [line for line in answer.out.splitlines() if line.startswith(str(folder))]
    assert lines
    for line in lines:
        assert line.endswith(("as published", "blocks to import")), line


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_every_variant_is_listed(spec: Path) -> None:
    name = str(spec.relative_to(FOLDER).with_suffix(""))
    said = {count.variant for count in counts() if count.spec == name}
    assert said - {""} == {variant.name for variant in load(spec).file.variants}


def test_every_section_is_a_spec() -> None:
    assert {count.spec for count in counts()} == {
        str(path.relative_to(FOLDER).with_suffix("")) for path in SPECS
    }


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_comment_agrees(spec: Path) -> None:
    """The line `# parameters: 9; n3: 13` of a spec says what is checked here."""
    lines = re.findall(r"^# parameters: (.*)$", spec.read_text(encoding="utf-8"), re.MULTILINE)
    name = str(spec.relative_to(FOLDER).with_suffix(""))
    listed = {count.variant: count.parameters for count in counts() if count.spec == name}
    for part in (part for line in lines for part in line.split(";")):
        variant, _, number = part.rpartition(":")
        assert listed[variant.strip()] == int(number.replace(",", ""))


@pytest.mark.parametrize("twin", sorted(FOLDER.rglob("*.yaml")), ids=lambda path: path.stem)
def test_yaml_twin_is_the_same(twin: Path) -> None:
    """Where an example has a YAML form too, it reads into the same network and training."""
    if twin.with_suffix(".weft").exists():
        assert load(twin).file == load(twin.with_suffix(".weft")).file
