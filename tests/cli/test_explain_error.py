"""`weft explain-error`: the page of a code, whose examples are what they claim to be."""

from __future__ import annotations

import json

import pytest

from weft.cli.explain_error import find, message, page
from weft.spec.errors import UsageError
from weft.spec.explanations import Explanation, explanations

UNEARNED = {"E418", "E505", "E506", "E507"}  # not by the text of a spec alone
ALL = list(explanations().values())


@pytest.mark.parametrize("each", ALL, ids=lambda each: each.code)
def test_the_bad_spec_earns_its_code_and_the_mended_one_is_right(each: Explanation) -> None:
    assert each.title.endswith(".") and len(each.title) < 100
    if each.code in UNEARNED:
        assert each.text and not each.bad and not each.mended
        return
    said = message(each.bad)
    assert said is not None and f"error[{each.code}]" in said
    assert {part.split("]")[0] for part in said.split("error[")[1:]} == {each.code}
    assert each.mended and message(each.mended) is None


def test_a_page_has_the_example_the_message_and_the_way_out(weft) -> None:
    answer = weft("explain-error", "E302")
    assert answer.code == 0
    assert answer.out.startswith("E302  ")
    assert "did you mean `softmax`?" in answer.out
    assert answer.out.index("sofmax") < answer.out.index("Mended:") < answer.out.rindex("softmax")


@pytest.mark.parametrize("spelt", ["E302", "e302", "302", "[E302]", "error[E302]"])
def test_codes_may_be_copied_as_they_stand(spelt: str) -> None:
    assert find(spelt).code == "E302"


def test_json(weft) -> None:
    found = json.loads(weft("explain-error", "E212", "--json").out)
    assert found["code"] == "E212" and found["part"] == "Structure"
    assert list(found["bad"]) == ["a.weft", "parts.weft", "more.weft"]
    assert "error[E212]" in found["message"]
    both = json.loads(weft("explain-error", "E212", "E401", "--json").out)
    assert [each["code"] for each in both] == ["E212", "E401"]


def test_without_a_code_all_are_listed(weft) -> None:
    lines = weft("explain-error").out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  E")] == list(explanations())
    assert set(json.loads(weft("explain-error", "--json").out)) == set(explanations())


def test_an_unknown_code(weft) -> None:
    answer = weft("explain-error", "E3090")
    assert answer.code == 2
    assert "there is no error `E3090`" in answer.err and "did you mean `E309`?" in answer.err
    with pytest.raises(UsageError):
        find("nonsense")


def test_several_files_are_listed_by_name() -> None:
    text = page(find("E210"))
    assert "    # a.weft\n" in text and "    # parts.weft\n" in text
