"""What the README shows is what weft makes; `make snapshots` renews it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import weft
from weft.spec.format import write_weft, write_yaml
from weft.spec.load import read_text

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
BODY = re.compile(r"(<!-- kernel: (\w+) -->\n```python\n)(.*?)(^```$)", re.DOTALL | re.MULTILINE)
WHOLE = re.compile(
    r"(<!-- kernels: ([\w ]+) -->\n```python\n)(.*?)(^```$)", re.DOTALL | re.MULTILINE
)


def _kernels() -> dict[str, str]:
    """The digits network's kernels for an H100, by name."""
    spec = weft.load(ROOT / "examples" / "digits" / "digits.weft")
    text = weft.compile(spec, target="cuda:90").artifact.files["kernels.py"]
    text = re.sub(r"\S*/digits\.weft", "digits.weft", text)
    kernel = re.compile(r"^@triton\.jit\ndef (\w+)\(.*?(?=^@triton|\Z)", re.DOTALL | re.MULTILINE)
    return {match[1]: match[0].rstrip("\n") + "\n" for match in kernel.finditer(text)}


def _body(kernel: str) -> str:
    """From the main loop on."""
    return kernel[kernel.rindex("\n", 0, kernel.index(" = tl.zeros(")) + 1 :]


@pytest.mark.snapshot
def test_the_kernels_are_the_generated_ones() -> None:
    text = README.read_text(encoding="utf-8")
    kernels = _kernels()
    assert BODY.search(text) and WHOLE.search(text)
    renewed = BODY.sub(lambda m: f"{m[1]}{_body(kernels[m[2]])}{m[4]}", text)
    renewed = WHOLE.sub(
        lambda m: m[1] + "\n\n".join(kernels[name] for name in m[2].split()) + m[4], renewed
    )
    if os.environ.get("WEFT_SNAPSHOTS") == "write":
        README.write_text(renewed, encoding="utf-8")
    assert README.read_text(encoding="utf-8") == renewed, "run `make snapshots`"


def test_both_forms_of_the_spec_are_one() -> None:
    text = README.read_text(encoding="utf-8")
    (spec,) = re.findall(r"^```\n(param hidden.*?)^```$", text, re.DOTALL | re.MULTILINE)
    (yaml,) = re.findall(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    tree = read_text(spec, "readme.weft")
    assert tree == read_text(yaml, "readme.yaml")
    assert (write_weft(tree), write_yaml(tree)) == (spec, yaml)


def test_every_command_is_named() -> None:
    from weft.cli.main import VERBS

    text = README.read_text(encoding="utf-8")
    for verb in VERBS:
        assert re.search(rf"weft [\w| ]*\b{verb}\b", text), verb


def test_links_lead_somewhere() -> None:
    for page in (README, *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
