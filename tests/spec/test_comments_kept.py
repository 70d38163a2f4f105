"""Comments anywhere in any spec of the repository are kept, in both forms and between them."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from weft.spec.comments import remarks
from weft.spec.errors import SpecError
from weft.spec.format import write_weft, write_yaml
from weft.spec.load import read_text
from weft.spec.tree import File

ROOT = Path(__file__).resolve().parents[2]
SPECS = sorted(
    path
    for folder in ("examples", "tests/spec/pairs", "spec/prelude")
    for ending in ("weft", "yaml")
    for path in (ROOT / folder).rglob(f"*.{ending}")
)
WRITERS = {"weft": write_weft, "yaml": write_yaml}
LAWFUL = [path for path in SPECS if path.parent.name != "prelude"]


def tree_of(path: Path) -> File:
    return read_text(path.read_text(encoding="utf-8"), path.name)


def numbers(text: str) -> list[str]:
    return sorted(re.findall(r"# (c\d+)\b", text))


def check(text: str, form: str, tree: File, count: int) -> None:
    """The text reads as the tree, and all writers keep all comments, the second time as well."""
    read = read_text(text, f"t.{form}")
    assert read == tree
    wanted = sorted(f"c{number}" for number in range(count))
    for to, write in WRITERS.items():
        written = write(read)
        assert numbers(written) == wanted, to
        again = read_text(written, f"t.{to}")
        assert again == tree
        assert write(again) == written
        for other in WRITERS.values():
            assert numbers(other(again)) == wanted, to


@pytest.mark.parametrize("path", LAWFUL, ids=lambda path: path.name)
def test_every_spec_reads_back_as_the_same_tree(path: Path) -> None:
    tree = tree_of(path)
    for form, write in WRITERS.items():
        text = write(tree)
        again = read_text(text, f"t.{form}")
        assert again == tree
        assert write(again) == text
        others = [read_text(other(again), f"t.{to}") for to, other in WRITERS.items()]
        assert others == [tree, tree]


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("path", LAWFUL, ids=lambda path: path.name)
def test_a_comment_at_every_line(path: Path, form: str) -> None:
    tree = tree_of(path)
    lines, count = [], 0
    text = silent(tree, form)
    going_on = continued(text) if form == "yaml" else set()
    for number, line in enumerate(text.split("\n")):
        indent = re.match(" *", line)[0]  # type: ignore[index]
        if number not in going_on:
            lines.append(f"{indent}# c{count}")
            count += 1
        if line.strip() and "|-" not in line and number + 1 not in going_on:
            line += f"  # c{count}"
            count += 1
        lines.append(line)
    check("\n".join(lines), form, tree, count)


def continued(text: str) -> set[int]:
    """The lines, from 0, that go on with a plain scalar: YAML takes no comment before them."""
    found: set[int] = set()
    for token in yaml.scan(text, yaml.SafeLoader):
        if isinstance(token, yaml.ScalarToken) and token.plain:
            found |= set(range(token.start_mark.line + 1, token.end_mark.line + 1))
    return found


@pytest.mark.parametrize("path", LAWFUL, ids=lambda path: path.name)
def test_comments_wherever_a_line_may_end(path: Path) -> None:
    tree = tree_of(path)
    text = silent(tree, "weft")
    choice = random.Random(path.name)
    gaps = [m.start() for m in re.finditer(r"(?<=[\s(\[,{|>])|(?=[)\]}])", text)]
    free = [at for at in choice.sample(gaps, min(16, len(gaps))) if legal(text, at, tree)]
    for at in free[:2]:
        check(f"{text[:at]} # c0\n{text[at:]}", "weft", tree, 1)
    spread = with_comments(text, sorted(free))
    check(spread, "weft", tree, len(free))


def legal(text: str, at: int, tree: File) -> bool:
    try:
        return read_text(f"{text[:at]} # c\n{text[at:]}", "t.weft") == tree
    except SpecError:
        return False


def with_comments(text: str, gaps: list[int]) -> str:
    for number, at in reversed(list(enumerate(gaps))):
        text = f"{text[:at]} # c{number}\n{text[at:]}"
    return text


def silent(tree: File, form: str) -> str:
    """The text of a tree without its comments."""
    return WRITERS[form](replace(tree, text=""))


def pairs() -> Iterator[tuple[str, str]]:
    yield "block f {\n  relu\n  # last\n}\n", "relu\n  # last\n}"
    yield (
        "block f {\n  residual { # opens\n    relu\n    | # between\n    tanh } # closes\n}\n",
        "{\n  # between\n  # closes\n  residual { relu | tanh }  # opens\n}",
    )
    yield "block f { relu }  # beside\nblock g { tanh }\n", "block f { relu }  # beside\n\nblock g"
    yield "variant a { d=1 }  # small\nparam d=2\n", "variant a { d=1 }  # small\n"
    yield (
        "net n {\n  in x: f32[B], y: f32[B]  # both\n  x + y\n}\n",
        "  in x: f32[B], y: f32[B]  # both\n",
    )
    yield "param d=1\n# the end", "param d=1\n\n# the end\n"
    yield "# file\n\n# first\nblock f { relu }\n", "# file\n\n# first\nblock f { relu }\n"


@pytest.mark.parametrize(("text", "kept"), tuple(pairs()))
def test_where_they_stand(text: str, kept: str) -> None:
    written = write_weft(read_text(text, "t.weft"))
    assert kept in written
    assert write_weft(read_text(written, "t.weft")) == written


def test_a_comment_above_the_first_block_stays_its_own_in_yaml() -> None:
    tree = read_text("# file\n\n# first\nblock f { relu }\n", "t.weft")
    assert write_yaml(tree) == "# file\n\nblock:\n  # first\n  f: relu\n"


def test_comments_inside_blocks_of_text() -> None:
    text = 'block:\n  f: |-\n    relu # a "quoted # one"\n    # below\n'
    tree = read_text(text, "t.yaml")
    said = remarks(tree)
    assert len(said.by_node) == 1
    assert '# a "quoted # one"' in write_weft(tree) and "# below" in write_weft(tree)


def test_a_string_is_no_comment() -> None:
    tree = read_text('block:\n  f: |-\n    rearrange("b # -> # b")\n', "t.yaml")
    assert not remarks(tree).by_node


def test_folded_text_says_when_a_comment_hides_what_follows() -> None:
    text = "block:\n  f: >\n    relu # soft\n    -> tanh\n"
    with pytest.raises(SpecError) as caught:
        read_text(text, "t.yaml")
    (found,) = caught.value.diagnostics
    assert (found.code, found.place.line, found.place.column) == ("E111", 3, 10)
    harmless = read_text("block:\n  f: >\n    relu\n    -> tanh # soft\n    # more\n", "t.yaml")
    assert harmless == read_text("block f { relu -> tanh }", "t.weft")


@pytest.mark.parametrize("style", [">", ">-", "|", "|-", ""])
def test_places_inside_texts_of_several_lines(style: str) -> None:
    text = f"block:\n  f: {style}\n    relu\n    -> conv(3,\n       stride=)\n    -> tanh\n"
    with pytest.raises(SpecError) as caught:
        read_text(text, "t.yaml")
    place = caught.value.diagnostics[0].place
    assert (place.line, place.column) == (5, 15)


def test_long_values_go_on_in_the_next_line() -> None:
    numbers = ", ".join(str(1000 + number) for number in range(60))
    text = f"param a=1, b=[{numbers}], c=f({numbers}), d=2  # last\n"
    text += f'block B {{\n  x -> g("{numbers}", {numbers}) -> relu  # beside\n}}\n'
    tree = read_text(text, "t.weft")
    for form, write in WRITERS.items():
        written = write(tree)
        assert read_text(written, f"t.{form}") == tree
        assert write(read_text(written, f"t.{form}")) == written
        assert "# last" in written and "# beside" in written
        longest = max(len(line) for line in written.split("\n") if '"' not in line)
        assert longest <= 100
