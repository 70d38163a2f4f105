"""Calls of the training section: binding of settings, and the tables' own consistency."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from weft.spec import formula
from weft.spec.initialisers import INITIALISERS
from weft.spec.schedules import SCHEDULES, complaint
from weft.spec.signature import Option, Signature, bind, fault
from weft.spec.sources import SOURCES, Field, mismatch
from weft.spec.stopping import STOPPING

TABLES = {
    **INITIALISERS,
    **{name: source.signature for name, source in SOURCES.items()},
    **STOPPING,
}


@pytest.mark.parametrize("signature", [*TABLES.values(), *SCHEDULES.values()], ids=lambda s: s.name)
def test_every_default_is_a_legal_value(signature: Signature) -> None:
    for option in signature.options:
        if not option.required and option.default is not None:
            assert fault(option, option.default) is None, option.name
    assert len({option.name for option in signature.options}) == len(signature.options)
    assert signature.doc


def test_positional_values_fill_the_settings_not_given_by_name() -> None:
    settings, problems = bind(SCHEDULES["cosine"], [0.1, 5], {"final": 0.01})
    assert not problems
    assert settings == {"rate": 0.1, "final": 0.01, "length": 5, "warmup": 0, "per": None}


@pytest.mark.parametrize(
    ("name", "positional", "named", "message", "hint"),
    [
        ("cosine", [], {}, "needs `rate`", "learning rate"),
        ("cosine", [1e-3], {"warmpu": 3}, "no setting `warmpu`", "did you mean `warmup`?"),
        ("cosine", [-1], {}, "`rate` must be at least 0, not -1", "learning rate"),
        ("cosine", ["fast"], {}, "`rate` must be a finite number, not fast", ""),
        ("cosine", [1, 2, 3, 4, "step", 6], {}, "no place for this value", "cosine(rate"),
        ("cosine", [1], {"per": "epcoh"}, "must be `step` or `epoch`", "did you mean `epoch`?"),
        ("exponential", [0.1], {"decay": 0}, "greater than 0", "factor"),
        ("step_decay", [0.1], {"at": [1, True]}, "must be a list of numbers", ""),
    ],
)
def test_problems_of_a_schedule(
    name: str, positional: list[object], named: dict[str, object], message: str, hint: str
) -> None:
    _, problems = bind(SCHEDULES[name], positional, named)
    assert len(problems) == 1
    assert message in problems[0].message
    assert hint in (problems[0].hint or "")


def test_a_problem_says_where() -> None:
    _, problems = bind(SOURCES["digits"].signature, [], {"batch": 0})
    assert (problems[0].name, problems[0].position) == ("batch", None)
    _, problems = bind(SOURCES["csv"].signature, [3], {})
    assert (problems[0].name, problems[0].position) == (None, 0)


@pytest.mark.parametrize("split", [[0.8, 0.2], 0.8, 1, [1, 0]])
def test_a_split(split: object) -> None:
    assert fault(Option("split", "split"), split) is None


@pytest.mark.parametrize("split", [[0.8, 0.3], 0, 1.5, [0.8], "most", [0, 1], True])
def test_no_split(split: object) -> None:
    assert fault(Option("split", "split"), split) is not None


def test_step_decay_needs_one_way_of_dropping() -> None:
    assert complaint("step_decay", {"every": None, "at": None}) is not None
    assert complaint("step_decay", {"every": 3, "at": [3]}) is not None
    assert complaint("step_decay", {"every": 3, "at": None}) is None


def problems_of(source: str, *positional: object, **named: object) -> list[str]:
    settings, problems = bind(SOURCES[source].signature, positional, named)
    return [p.message for p in (*problems, *SOURCES[source].problems(settings))]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (problems_of("csv", "a.csv", test="b.csv", split=0.5), "both say what is held out"),
        (problems_of("csv", "a.csv", delimiter="::"), "must be one character"),
        (problems_of("idx", "a", "b", test_images="c"), "half given"),
        (problems_of("idx", "a", test_labels="c"), "without `labels`"),
        (problems_of("function", "z = x"), "range of each variable"),
        (problems_of("function", "z = x", x=[0, 1]), "either `grid` or `samples`"),
        (problems_of("function", "z = x", x=[1, 0], grid=3), "a range such as"),
        (problems_of("function", "z = x", x=[0, 1], grid=[3, 3]), "`grid` has 2 sides"),
        (problems_of("function", "z = x*y", x=[0, 1], grid=3), "`y` is not a variable"),
        (problems_of("function", "z = x", x=[0, 1], y=[0, 1], grid=3), "does not use `y`"),
        (problems_of("function", "z = x + pi", x=[0, 1], pi=[0, 1], grid=3), "already means"),
        (problems_of("function", "z = x", x=[0, 1], grid=99_999_999), "points"),
        (problems_of("image", "a.pgm", size=[1, 2, 3]), "[width, height]"),
        (problems_of("digits", flip="both"), "`flip` changes pictures, and flat=true"),
        (problems_of("digits", flat=False, saturation=0.2), "there are none"),
        (problems_of("digits", flat=False, hue=0.2), "there are none"),
        (problems_of("digits", flat=False, mixup=1, cutmix=1), "both mix each picture"),
        (problems_of("cifar10", mean=0.5), "`mean` and `std` belong together"),
        (problems_of("cifar10", mean=[1, 2], std=1), "`mean` has 2 numbers for 3 channels"),
        (problems_of("cifar10", mean=1, std=0), "`std` must be greater than 0"),
        (problems_of("cifar10", mean=1, std=1, normalise="minmax"), "measures what"),
        (problems_of("cifar10", zoom=[0.5, 2]), "`zoom` must be at most 1"),
        (problems_of("cifar10", flip="sideways"), "`flip` must be"),
        (problems_of("idx", "a", mixup=1), "`mixup` without `labels`"),
        (problems_of("images", "a", zoom=[0.1, 1]), "`zoom` needs a `size`"),
        (problems_of("images", "a", size=[1, 2, 3]), "[height, width]"),
        (problems_of("images", "a", size=64, resize=32), "`resize` is smaller than `size`"),
        (problems_of("images", "a", size=64, resize=80, fit="stretch"), "does nothing"),
        (problems_of("images", "a", test="val", split=0.5), "both say what is held out"),
        (problems_of("images", "a", target="y"), "`target` without `labels`"),
        (problems_of("images", "a", labels="t.csv", test="val"), "is for folders of classes"),
        (problems_of("images", "a", labels="t.csv", mixup=1, target=["x", "y"]), "only classes"),
        (problems_of("segmentation", "a", "b", test_images="c"), "half given"),
        (problems_of("segmentation", "a", "b", values=[0]), "must be 2 different pixel values"),
        (problems_of("segmentation", "a", "b", ignore=9), "needs classes"),
        (problems_of("text", "a", vocabulary="letters"), "there is no vocabulary `letters`"),
        (problems_of("text", "a", vocabulary="bpe", size=200), "byte pairs need at least 258"),
        (problems_of("text", "a", least=2), "`least` is a setting of vocabulary=words"),
        (problems_of("text", "a", masked=1.5), "`masked` is a share between 0 and 1"),
        (problems_of("tokens", "a.bin", masked=0.2), "`masked` needs the `vocabulary`"),
        (problems_of("text", "a", by="tail"), "`by` says what `split` divides"),
        (problems_of("text", "a", test="b", split=0.9), "both say what is held out"),
        (problems_of("text", "a", normalise="standard"), "has no setting `normalise`"),
        (problems_of("sequences", "sort", length=[3, 2]), "from the shortest to the longest"),
        (problems_of("sequences", "sort", length=[1, 2, 3]), "[shortest, longest]"),
        (problems_of("sequences", "sort", samples=1 << 28), "are too many"),
        (problems_of("sequences", "shuffle"), "must be `reverse`, `sort` or `copy`"),
        (problems_of("segmentation", "a", "b", classes=3, ignore=2), "value of a class"),
        (problems_of("curves", curves=[1.5, 2]), "one whole number to another"),
        (problems_of("curves", samples=10**7), "pixels"),
        (problems_of("crowds", size=60), "no multiple of the stride 8"),
        (problems_of("crowds", crop=4), "`crop` needs stride=1"),
    ],
)
def test_settings_that_do_not_go_together(found: list[str], message: str) -> None:
    assert any(message in one for one in found), found


def test_fields_are_known_without_a_file() -> None:
    def fields(source: str, *positional: object, **named: object) -> list[tuple[object, object]]:
        settings, _ = bind(SOURCES[source].signature, positional, named)
        return [(f.dtype, f.dims) for f in SOURCES[source].fields(settings) or ()]

    assert fields("digits") == [("f32", ("B", 64)), ("i32", ("B",))]
    assert fields("digits", flat=False)[0] == ("f32", ("B", 1, 8, 8))
    assert fields("mnist", size=32)[0] == ("f32", ("B", 1, 32, 32))
    assert fields("function", "z = x*y", x=[0, 1], y=[0, 1], grid=3) == [
        ("f32", ("B", 2)),
        ("f32", ("B", 1)),
    ]
    assert fields("function", "c = x < 0.5", x=[0, 1], grid=3)[1] == ("i32", ("B",))
    assert fields("csv", "a.csv", target="y", features=["a", "b"])[0] == ("f32", ("B", 2))
    assert fields("digits", flat=False, size=32)[0] == ("f32", ("B", 1, 32, 32))
    assert fields("digits", flat=False, mixup=1)[1] == ("f32", ("B", 10))
    assert fields("cifar10") == [("f32", ("B", 3, 32, 32)), ("i32", ("B",))]
    assert fields("cifar100", labels="coarse", mixup=1)[1] == ("f32", ("B", 20))
    assert fields("images", "a")[0] == ("f32", ("B", None, None, None))
    assert fields("images", "a", size=[2, 3], colour=True)[0] == ("f32", ("B", 3, 2, 3))
    assert fields("segmentation", "a", "b", size=8)[1] == ("f32", ("B", 1, 8, 8))
    assert fields("segmentation", "a", "b", size=8, classes=3)[1] == ("i32", ("B", 8, 8))
    assert fields("curves", size=32) == [("f32", ("B", 1, 32, 32))] * 2
    assert fields("crowds", size=32)[1] == ("f32", ("B", 1, 4, 4))


def test_declared_types_against_fields() -> None:
    label = Field("label", "i32", ("B",), ("f32",))
    assert mismatch(label, "i32", ["B"]) is None
    assert mismatch(label, "f32", ["B", 1]) is None
    assert mismatch(label, "bool", ["B"]) == "it is i32"
    image = Field("image", "f32", ("B", 64))
    assert mismatch(image, "f32", ["B", "features"]) is None
    assert mismatch(image, "f32", ["B", 63]) == "its shape is [B, 64]"
    assert mismatch(image, "f32", ["B", 8, 8]) == "its shape is [B, 64]"
    assert mismatch(Field("x", "f32", ("B", None)), "f32", ["B", 7]) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("z = x ^ 2", "`^` is not an operator"),
        ("z = x +", "is not a formula"),
        ("z = __import__('os')", "not a function"),
        ("z = x.real", "has no meaning"),
        ("z = (lambda: 1)()", "has no meaning"),
        ("z = [x for x in x]", "has no meaning"),
        ("z = sine(x)", "`sine` is not a function"),
        ("z = sin(x, x)", "takes 1 arguments, not 2"),
        ("z = sin", "`sin` is a function"),
        ("z = 'x'", "has no meaning"),
        ("z = True", "no True or False"),
        ("z = 1e999", "too large"),
        ("2z = x", "is not a name"),
        ("x = x", "stands left of `=` too"),
        ("", "is empty"),
        ("z = " + "-" * 300 + "x", "nested deeper"),
        ("z = " + "(" * 500 + "x" + ")" * 500, ""),
        ("z = " + "x" * 3000, "characters"),
        ("z = w", "`w` is not a variable"),
    ],
)
def test_what_is_not_a_formula(text: str, message: str) -> None:
    with pytest.raises(formula.FormulaError) as caught:
        formula.parse(text, ["x"])
    assert message in str(caught.value)


def test_a_formula_becomes_plain_data() -> None:
    (found,) = formula.parse("z = 100*(y - x**2)**2", ["x", "y"])
    assert found.name == "z"
    assert found.expression == ("*", 100.0, ("**", ("-", "y", ("**", "x", 2.0)), 2.0))
    assert not found.is_class
    assert formula.parse("0 <= x < 1", ["x"])[0].expression == (
        "and",
        ("<=", 0.0, "x"),
        ("<", "x", 1.0),
    )


@pytest.mark.parametrize(
    ("page", "signatures"),
    [
        ("data.md", [source.signature for source in SOURCES.values()]),
        ("training.md", [*SCHEDULES.values(), *INITIALISERS.values(), *STOPPING.values()]),
    ],
)
def test_everything_is_documented(page: str, signatures: list[Signature]) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / page).read_text(encoding="utf-8")
    words = set(re.findall(r"\w+", text))
    for signature in signatures:
        assert {signature.name, *(option.name for option in signature.options)} <= words
