"""Loading: params, variants, overrides, imports, the prelude, limits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from weft.spec import prelude_index
from weft.spec.errors import InternalError, SpecError, UsageError
from weft.spec.load import LARGEST, Spec, load, load_text
from weft.spec.prelude_index import Prelude, index, prelude

TEXT = """\
param d=64, deep=false, w=[d, 2*d], name="digits", rate=1e-3
variant big { d=128, w=[d, d] }
net n {
  in x: f32[B, d]
  x -> linear(3)
}
"""


def codes(error: SpecError) -> list[str]:
    return [f"{found.code} {found.place}" for found in error.diagnostics]


def test_params_are_evaluated_in_order() -> None:
    spec = load_text(TEXT, "t.weft")
    assert dict(spec.constants) == {
        "d": 64,
        "deep": False,
        "w": (64, 128),
        "name": "digits",
        "rate": 1e-3,
    }


def test_a_variant_replaces_before_and_overrides_after() -> None:
    assert load_text(TEXT, "t.weft", variant="big").constants["w"] == (128, 128)
    spec = load_text(TEXT, "t.weft", variant="big", params={"d": 32, "name": "other"})
    assert (spec.constants["d"], spec.constants["w"], spec.constants["name"]) == (
        32,
        (32, 32),
        "other",
    )
    assert load_text(TEXT, "t.weft", params={"w": [1, 2.5]}).constants["w"] == (1, 2.5)
    assert load_text(TEXT, "t.weft", params={"w": "[d, 3*d]"}).constants["w"] == (64, 192)
    assert load_text(TEXT, "t.weft", params={"rate": "1/8"}).constants["rate"] == 0.125


@pytest.mark.parametrize(
    ("variant", "params", "message", "hint"),
    [
        ("bigg", {}, "no variant `bigg` in t.weft", "did you mean `big`?"),
        (None, {"dd": 3}, "no param `dd` in t.weft", "did you mean `d`?"),
        (None, {"zzz": 3}, "no param `zzz` in t.weft", "params: d, deep, w, name, rate"),
        (None, {"d": [3]}, "param `d` is the number 64 in the spec; it cannot be [3]", "same kind"),
        (None, {"d": True}, "it cannot be True", "same kind"),
        (None, {"deep": 1}, "param `deep` is true or false", "same kind"),
        (None, {"d": None}, "it cannot be None", "same kind"),
        (None, {"d": float("inf")}, "it cannot be inf", "same kind"),
        (None, {"d": "widht"}, "`d=widht`: unknown name `widht`", None),
        (None, {"d": "1 +"}, "`d=1 +`: unexpected end of text", None),
        (None, {"d": "relu(3)"}, "`d=relu(3)` is not a value known at compile time", None),
    ],
)
def test_wrong_choices_are_usage_errors(
    variant: str | None, params: dict[str, object], message: str, hint: str | None
) -> None:
    with pytest.raises(UsageError) as caught:
        load_text(TEXT, "t.weft", variant=variant, params=params)
    assert message in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")
    assert caught.value.exit_code == 2


def test_params_that_have_no_value() -> None:
    text = "param a=b, b=2, c=relu(3), d=1/0, e=d + 1, f=same\nvariant v { aa=1 }\n"
    with pytest.raises(SpecError) as caught:
        load_text(text, "t.weft")
    assert codes(caught.value) == [
        "E301 t.weft:1:9",
        "E310 t.weft:1:19",
        "E312 t.weft:1:30",
        "E301 t.weft:1:46",
        "E301 t.weft:2:13",
    ]
    hints = [found.hint for found in caught.value.diagnostics]
    assert hints[0] == "params may use earlier ones; `b` comes later"
    assert hints[3] == 'a text is written in quotes: `f="same"`'


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_imports_bring_blocks_with_their_own_params(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "main.weft": 'import "parts/a.weft"\nparam k=1\nblock M { A -> B }\n',
            "parts/a.weft": (
                'import "b.yaml"\nparam k=2\ndefault linear(bias=false)\nblock A { linear(k) }\n'
            ),
            "parts/b.yaml": "block:\n  B: relu\n",
        },
    )
    spec = load(tmp_path / "main.weft")
    assert set(spec.blocks) - set(prelude()) == {"A", "B", "M"}
    assert spec.constants == {"k": 1}
    home = spec.home(spec.blocks["A"])
    assert home.constants == {"k": 2}
    assert [each.operation for each in home.defaults] == ["linear"]
    assert spec.home(spec.blocks["B"]).constants == {}
    assert spec.home(spec.blocks["M"]).constants == {"k": 1}
    shown = str(tmp_path / "parts" / "a.weft")
    assert spec.blocks["A"].place.file == shown
    assert spec.texts[shown].startswith("import")


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"main.weft": 'import "b.weft"\n'}, "E211 {}/main.weft:1:8"),
        ({"main.weft": 'import "../b.weft"\n'}, "E213 {}/main.weft:1:8"),
        ({"main.weft": 'import "/etc/passwd"\n'}, "E213 {}/main.weft:1:8"),
        ({"main.weft": 'import "main.weft"\n'}, "E212 {}/main.weft:1:8"),
        (
            {
                "main.weft": 'import "a.weft"\n',
                "a.weft": 'import "b.weft"\n',
                "b.weft": 'import "a.weft"\n',
            },
            "E212 {}/b.weft:1:8",
        ),
        (
            {"main.weft": 'import "a.weft"\n', "a.weft": "net n {\n  in x: f32[B]\n  x -> f\n}\n"},
            "E210 {}/a.weft:1:5",
        ),
        (
            {"main.weft": 'import "a.weft"\nblock A { f }\n', "a.weft": "block A { g }\n"},
            "E202 {}/a.weft:1:7",
        ),
        ({"main.weft": 'import "a.weft"\n', "a.weft": "block A { g g }\n"}, "E102 {}/a.weft:1:13"),
        ({"main.weft": 'import "a.weft"\n', "a.weft": "param a=b\n"}, "E301 {}/a.weft:1:9"),
        ({"main.weft": 'import "a.txt"\n', "a.txt": "block A { g }\n"}, "E211 {}/main.weft:1:8"),
        ({"main.weft": 'import "sub"\n', "sub/a.weft": "block A { g }\n"}, "E211 {}/main.weft:1:8"),
    ],
)
def test_bad_imports(tmp_path: Path, files: dict[str, str], wanted: str) -> None:
    write(tmp_path, files)
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "main.weft")
    assert codes(caught.value) == [wanted.format(tmp_path)]


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"out.weft": "block A { f }\n", "spec/main.weft": 'import "link.weft"\n'})
    (tmp_path / "spec" / "link.weft").symlink_to(tmp_path / "out.weft")
    with pytest.raises(SpecError, match="E213"):
        load(tmp_path / "spec" / "main.weft")


def test_a_file_imported_twice_is_read_once(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "main.weft": 'import "a.weft"\nimport "b.weft"\n',
            "a.weft": 'import "c.weft"\nblock A { C }\n',
            "b.weft": 'import "c.weft"\nblock B { C }\n',
            "c.weft": "block C { relu }\n",
        },
    )
    assert {"A", "B", "C"} <= set(load(tmp_path / "main.weft").blocks)


def test_imports_need_a_folder() -> None:
    with pytest.raises(SpecError, match="E211"):
        load_text('import "a.weft"\n', "t.weft")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        load(tmp_path / "none.weft")
    with pytest.raises(UsageError, match="not a file"):
        load(tmp_path)
    write(tmp_path, {"net.txt": "x"})
    with pytest.raises(UsageError, match=r"ends in \.weft, \.yaml or \.yml"):
        load(tmp_path / "net.txt")
    pipe = tmp_path / "pipe.weft"
    os.mkfifo(pipe)
    with pytest.raises(UsageError, match="not a file"):
        load(pipe)


def test_text_must_be_utf8_and_small(tmp_path: Path) -> None:
    path = tmp_path / "t.weft"
    path.write_bytes(b"param a=1\nparam b=\xff\n")
    with pytest.raises(SpecError, match="E107") as caught:
        load(path)
    assert codes(caught.value) == [f"E107 {path}:2:9"]
    path.write_bytes(b"#" * (LARGEST + 1))
    with pytest.raises(SpecError, match="E105"):
        load(path)
    path.write_bytes(b"\xef\xbb\xbfparam a=1\n")
    assert load(path).constants == {"a": 1}


def test_the_prelude_is_parsed_only_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {
        "prelude/x.weft": (
            "# about A\nblock A(n) {\n  relu\n}\n\n# about B\n"
            "block B { A(3) -> B_2 }\nblock B_2 { f f }\n"
        )
    }
    library = index(texts)
    monkeypatch.setattr("weft.spec.load.prelude", lambda: library)
    spec = load_text("block B { tanh }\n", "t.weft")
    assert spec.blocks["A"].place.file == "prelude/x.weft"
    assert spec.blocks["A"].place.line == 2
    assert spec.blocks["B"].place.file == "t.weft"  # the user's own come first
    assert set(library.parsed) == {"A"}
    assert list(spec.blocks) == ["B", "A", "B_2"] and len(spec.blocks) == 3
    with pytest.raises(SpecError, match=r"prelude/x\.weft:8:15: error\[E102\]"):
        spec.blocks["B_2"]
    with pytest.raises(KeyError):
        spec.blocks["C"]


def test_a_prelude_holds_each_block_once_and_nothing_else() -> None:
    with pytest.raises(InternalError, match="stands in"):
        index({"a": "block A { f }\n", "b": "block A { g }\n"})
    with pytest.raises(InternalError, match="more than blocks"):
        index({"a": "param a=1\nblock A { f }\n"})


def test_every_block_of_the_prelude_parses() -> None:
    library: Prelude = prelude()
    for name in library:
        assert library[name].name == name
    assert prelude_index.FOLDER.is_dir()


def test_a_spec_is_what_it_says() -> None:
    spec = load_text(TEXT, "t.weft", variant="big")
    assert isinstance(spec, Spec)
    assert (spec.path, spec.variant) == ("t.weft", "big")
    assert spec.texts["t.weft"] == TEXT
    assert [net.name for net in spec.file.nets] == ["n"]


@pytest.mark.parametrize(
    "path", ["a\x00b.weft", "x" * 300 + ".weft", "a/" * 3000 + "b.weft", "a\nb"]
)
def test_paths_that_are_none(tmp_path: Path, path: str) -> None:
    shown = path.replace("\n", "\\n")
    write(tmp_path, {"main.weft": f'import "{shown}"\nblock A {{ relu }}\n'})
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "main.weft")
    assert codes(caught.value) == [f"E211 {tmp_path}/main.weft:1:8"]


def test_links_are_followed_inside_the_folder_only(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "out/b.weft": "block B { relu }\n",
            "spec/main.weft": 'import "far/b.weft"\nimport "near.weft"\nimport "round.weft"\n',
            "spec/sub/a.weft": "block A { relu }\n",
        },
    )
    home = tmp_path / "spec"
    (home / "far").symlink_to(tmp_path / "out")
    (home / "near.weft").symlink_to(home / "sub" / "a.weft")
    (home / "round.weft").symlink_to(home / "round.weft")
    with pytest.raises(SpecError) as caught:
        load(home / "main.weft")
    assert codes(caught.value) == [f"E213 {home}/main.weft:1:8", f"E211 {home}/main.weft:3:8"]
    (tmp_path / "other").symlink_to(home)  # the folder itself may be a link
    write(tmp_path, {"spec/main.weft": 'import "near.weft"\n'})
    assert "A" in load(tmp_path / "other" / "main.weft").blocks


def test_imports_have_limits(tmp_path: Path) -> None:
    chain = {f"f{n}.weft": f'import "f{n + 1}.weft"\n' for n in range(70)}
    write(tmp_path, {**chain, "f70.weft": "block A { relu }\n"})
    with pytest.raises(SpecError, match="more than 64 imports inside each other") as caught:
        load(tmp_path / "f0.weft")
    assert codes(caught.value) == [f"E105 {tmp_path}/f64.weft:1:8"]
    assert "A" in load(tmp_path / "f7.weft").blocks
    names = [f"g{n}.weft" for n in range(260)]
    write(tmp_path, {name: f"block B{name[1:-5]} {{ relu }}\n" for name in names})
    write(tmp_path, {"many.weft": "".join(f'import "{name}"\n' for name in names)})
    with pytest.raises(SpecError, match="more than 256 imported files") as caught:
        load(tmp_path / "many.weft")
    assert codes(caught.value) == [f"E105 {tmp_path}/many.weft:257:8"]


def test_errors_of_all_imported_files_come_at_once_in_the_order_of_reading(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "main.weft": 'import "b.weft"\nimport "none.weft"\nimport "a.yaml"\n',
            "a.yaml": "block:\n  A: relu relu\n  B: x ->\n",
            "b.weft": "block C { relu relu }\nnet n {\n  in x: f32[B]\n  x -> relu relu\n}\n",
        },
    )
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "main.weft")
    assert [code.replace(f"{tmp_path}/", "") for code in codes(caught.value)] == [
        "E211 main.weft:2:8",
        "E102 b.weft:1:16",
        "E102 b.weft:4:13",
        "E102 a.yaml:2:11",
        "E102 a.yaml:3:10",
    ]
    assert "    2 |   A: relu relu" in str(caught.value)
