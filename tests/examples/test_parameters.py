"""Every example has exactly the parameters that its source, or its layer list, gives."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples"
EXPECTED = tomllib.loads(Path(__file__).with_name("expected.toml").read_text(encoding="utf-8"))
CASES = [
    (f"{folder}/{name}", variant, count)
    for folder, specs in EXPECTED.items()
    for name, variants in specs.items()
    for variant, count in variants.items()
]


@pytest.mark.parametrize(("spec", "variant", "count"), CASES)
def test_count(weft, spec: str, variant: str, count: int) -> None:
    chosen = ["--variant", variant] if variant else []
    answer = weft("check", FOLDER / f"{spec}.weft", *chosen, "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["parameters"] == count


def test_every_example_is_listed() -> None:
    found = {path.relative_to(FOLDER).with_suffix("") for path in FOLDER.rglob("*.weft")}
    assert {str(path) for path in found} == {spec for spec, _, _ in CASES}


@pytest.mark.parametrize("spec", sorted({spec for spec, _, _ in CASES}))
def test_comment_agrees(spec: str) -> None:
    """The line `# parameters: 9; n3: 13` of a spec says what is checked here."""
    text = (FOLDER / f"{spec}.weft").read_text(encoding="utf-8")
    (line,) = re.findall(r"^# parameters: (.*)$", text, re.MULTILINE)
    said = {}
    for part in line.split(";"):
        name, _, number = part.rpartition(":")
        said[name.strip()] = int(number)
    listed = {variant: count for other, variant, count in CASES if other == spec}
    assert said.items() <= listed.items()


@pytest.mark.parametrize("twin", sorted(FOLDER.rglob("*.yaml")), ids=lambda path: path.stem)
def test_yaml_twin_is_the_same(twin: Path) -> None:
    """Where an example has a YAML form too, it reads into the same network and training."""
    from weft.spec.load import load

    assert load(twin).file == load(twin.with_suffix(".weft")).file
