"""Highlighting agrees with the tables of the language, and colours what it should."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from weft.cli.main import VERBS
from weft.spec.lexer import words
from weft.spec.load import read_text

EDITORS = Path(__file__).resolve().parents[2] / "editors"
EXAMPLES = sorted((EDITORS.parent / "examples").rglob("*.weft"))
VIM = shutil.which("vim")


def _module() -> ModuleType:
    where = importlib.util.spec_from_file_location("highlighting", EDITORS / "highlighting.py")
    assert where is not None and where.loader is not None
    module = importlib.util.module_from_spec(where)
    where.loader.exec_module(module)
    return module


tables = _module()
PATTERNS = [
    (re.compile(each["match"]), each.get("name"), each.get("captures", {}))
    for each in tables.textmate()["patterns"]
]


@pytest.mark.snapshot
def test_the_files_are_those_of_the_tables() -> None:
    if os.environ.get("WEFT_SNAPSHOTS") == "write":
        tables.main()
    said = "run `make snapshots`"
    assert json.loads(tables.TEXTMATE.read_text()) == tables.textmate(), said
    assert tables.VIM.read_text() == tables.vim(), said


def test_every_reserved_word_is_in_one_list() -> None:
    lists = (tables.STATEMENTS, tables.CONTROL, tables.LOGIC, tables.CONSTANTS, tables.AT_START)
    listed = [word for each in lists for word in each]
    assert sorted(listed) == sorted(words())
    assert set(tables.NAMED) <= set(tables.STATEMENTS)


def colours(line: str) -> dict[str, str]:
    """Every piece of a line with its scope: the earliest match, of those the first pattern."""
    found: dict[str, str] = {}
    position = 0
    while position < len(line):
        hits = [(p.search(line, position), name, captures) for p, name, captures in PATTERNS]
        best = min(
            (hit for hit in hits if hit[0] is not None and hit[0].end() > hit[0].start()),
            key=lambda hit: hit[0].start(),
            default=None,
        )
        if best is None:
            break
        match, name, captures = best
        if name:
            found[match[0]] = name.split(".weft")[0]
        for group, inner in captures.items():
            found[match[int(group)]] = inner["name"].split(".weft")[0]
        position = match.end()
    return found


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (
            "block Res(c, stride=1) {  # a block",
            {
                "block": "keyword.declaration",
                "Res": "entity.name.function",
                "c": "variable.other",
                "stride": "variable.parameter",
                "1": "constant.numeric",
                "# a block": "comment.line.number-sign",
            },
        ),
        (
            '  x -> conv(64, 3, pad=same) as h -> rearrange("b # -> b")',
            {
                "->": "keyword.operator.arrow",
                "conv": "support.function",
                "pad": "variable.parameter",
                "as": "keyword.control",
                '"b # -> b"': "string.quoted.double",
            },
        ),
        (
            "  weight weight: f32[d, 4*d] = normal(std=3e-4)",
            {
                "weight": "variable.other",
                "f32": "storage.type",
                "normal": "support.function",
                "3e-4": "constant.numeric",
            },
        ),
        ("  y = weight*e.weight", {"y": "variable.parameter", "weight": "variable.other.member"}),
        ("  f(in=3, if=true)", {"in": "variable.parameter", "if": "variable.parameter"}),
        (
            "  if n == 2 and not last { Mine } else { tanh }",
            {
                "if": "keyword.control",
                "==": "keyword.operator",
                "and": "keyword.operator.logical",
                "Mine": "variable.other",
                "tanh": "support.function",
            },
        ),
        (
            "    optimizer = adamw(lr=cosine(1e-3))",
            {
                "optimizer": "variable.parameter",
                "adamw": "support.class",
                "cosine": "support.class",
            },
        ),
        (
            "  step main updates mlp {",
            {"main": "entity.name.function", "updates": "keyword.declaration"},
        ),
        ("  Mine(3) -> linearly", {"Mine": "entity.name.function", "linearly": "variable.other"}),
    ],
)
def test_colours_of_a_line(line: str, wanted: dict[str, str]) -> None:
    found = colours(line)
    assert {word: found.get(word) for word in wanted} == wanted


def test_the_keyword_weight() -> None:
    match = re.match
    pattern = next(p for p, _, _ in PATTERNS if "weight" in p.pattern and "conv" not in p.pattern)
    assert match(pattern, "weight w: f32[2] = zeros()") and not match(pattern, "weight -> relu")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_nothing_in_an_example_is_left_plain(path: Path) -> None:
    """All but brackets, commas and colons has a colour."""
    for line in path.read_text(encoding="utf-8").split("\n"):
        rest = line
        for piece in sorted(colours(line), key=len, reverse=True):
            rest = rest.replace(piece, " ")
        assert not rest.strip(" ()[]{},:.|"), line


def test_the_files_of_the_extension_fit_together() -> None:
    folder = EDITORS / "vscode"
    package = json.loads((folder / "package.json").read_text())
    assert (folder / package["main"]).is_file()
    (language,) = package["contributes"]["languages"]
    (grammar,) = package["contributes"]["grammars"]
    assert language["extensions"] == [".weft"]
    assert json.loads((folder / language["configuration"]).read_text())["comments"]
    scope = json.loads((folder / grammar["path"]).read_text())["scopeName"]
    assert grammar["scopeName"] == scope
    client = (folder / package["main"]).read_text()
    for module in set(re.findall(r'require\("([\w-]+)', client)) - {"vscode"}:
        assert module in package["dependencies"]
    assert '["lsp"]' in client and "lsp" in VERBS


def test_what_the_page_shows_is_there() -> None:
    page = (EDITORS / "README.md").read_text()
    for path in re.findall(r"editors/([\w/.-]+)", page):
        assert (EDITORS / path).exists(), path


@pytest.mark.skipif(VIM is None, reason="no vim")
def test_vim_colours_a_spec(tmp_path: Path) -> None:
    spec = tmp_path / "a.weft"
    spec.write_text(
        "# note\nblock A(c) {\n  weight w: f32[c] = zeros()\n"
        "  x -> conv(c, 3, in=2) -> mul(w.weight)\n}\n"
    )
    read_text(spec.read_text(), "a.weft")
    asked = {(1, 3): "Comment", (2, 1): "Statement", (3, 3): "Statement", (3, 13): "Type"}
    asked |= {(3, 22): "Operation", (4, 8): "Operation", (4, 13): "", (4, 16): "Number"}
    asked |= {(4, 19): "Setting", (4, 37): "Member"}
    lines = [f"synIDattr(synID({line}, {column}, 1), 'name')" for line, column in asked]
    script = tmp_path / "ask.vim"
    out = tmp_path / "out"
    script.write_text(
        f"set nocompatible\nset runtimepath^={EDITORS / 'vim'}\nsyntax on\nfiletype plugin on\n"
        f"edit {spec}\ncall writefile([{', '.join(lines)}], '{out}')\nqall!\n"
    )
    assert VIM is not None
    subprocess.run(
        [VIM, "-N", "-u", str(script), "-es"], timeout=30, check=False, stdin=subprocess.DEVNULL
    )
    wanted = [f"weft{group}" if group else "" for group in asked.values()]
    assert out.read_text().split("\n")[:-1] == wanted
