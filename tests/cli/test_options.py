"""`--set` on the command line."""

from __future__ import annotations

import pytest

from weft.cli.options import settings
from weft.spec.errors import UsageError


def test_pairs_become_texts() -> None:
    assert settings(["d=128", "w = [1, 2]", "name=a=b"]) == {
        "d": "128",
        "w": "[1, 2]",
        "name": "a=b",
    }


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (["d"], "expected NAME=VALUE"),
        (["=3"], "expected NAME=VALUE"),
        (["d="], "expected NAME=VALUE"),
        (["d=1", "d=2"], "given twice"),
    ],
)
def test_wrong_pairs(pairs: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        settings(pairs)
