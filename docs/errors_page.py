"""Writes errors.md: what each code means, with one spec that earns it and the message it gets.

`python docs/errors_page.py` rewrites the page; a test fails when it is not up to date.  Examples
are the bad specs of the tests, and for codes of the readers the short texts below.
"""

from __future__ import annotations

from pathlib import Path

from weft.compiler.build import elaborate
from weft.spec.errors import SpecError
from weft.spec.load import load_text

HERE = Path(__file__).resolve().parent
PAGE = HERE / "errors.md"
BAD_SPECS = HERE.parent / "tests" / "bad_specs" / "build"

PARTS = {
    "E1": "Text",
    "E2": "Structure",
    "E3": "Names, calls and values",
    "E4": "Shapes and types",
    "E5": "Parameters",
}

MEANINGS = {
    "E101": "A character that has no place in the language.",
    "E102": "A word or sign where none of its kind can stand.",
    "E103": "A setting is given twice in one call.",
    "E104": "A positional argument after a named one.",
    "E105": "Too large or too deep: files of more than 1 MiB, brackets or blocks without end.",
    "E106": "A number that is spelt wrong or out of range.",
    "E107": "The file is not UTF-8 text.",
    "E110": "Something is empty that must not be.",
    "E111": "YAML: this must be one line of text.",
    "E112": "YAML: a mapping where a value belongs.",
    "E113": "YAML: a mapping (or a list of paths) must stand here.",
    "E114": "YAML: a key must be text.",
    "E115": "YAML: a key that is no structure; calls are written as text.",
    "E116": "A part is missing, or stands where it means nothing.",
    "E117": "YAML: `branch` needs a list of arms.",
    "E118": "YAML: braces cannot stand inside a text; structures are mappings.",
    "E119": "The file is not YAML.",
    "E120": "YAML anchors and aliases are not allowed: use a param or a block.",
    "E121": "YAML tags are not allowed.",
    "E122": "More than one YAML document in a file.",
    "E201": "A key is given twice.",
    "E202": "A name is defined twice, or hides another one.",
    "E203": "An unknown key.",
    "E204": "A value, layer, weight or input that nothing uses.",
    "E205": "A line whose value goes nowhere: most often a missing `->`.",
    "E206": "A body without a result.",
    "E207": "Either all names of a data line have a type, or none.",
    "E208": "A required part is missing: a loss, an optimizer, a step, a net.",
    "E209": "A setting is an expression, not a pipeline.",
    "E210": "An imported file may hold only import, param, default and block.",
    "E211": "There is no such file to import.",
    "E212": "A file imports itself in the end.",
    "E213": "Imports stay inside the folder of the spec.",
    "E214": "A net needs `in`.",
    "E215": "Two settings contradict each other.",
    "E301": "An unknown name.",
    "E302": "An unknown operation, block, optimizer, schedule, source or initialiser.",
    "E303": "A layer has no such parameter, or none yet.",
    "E304": "An unknown setting.",
    "E305": "Too few or too many inputs for a call.",
    "E306": "The input of a call is missing, and none can be taken from the flow.",
    "E307": "A required setting is missing.",
    "E308": "Blocks call themselves without end.",
    "E309": "Another number of names than of values.",
    "E310": "A value must be known at compile time.",
    "E311": "A setting has a value it cannot have.",
    "E312": "Division by zero.",
    "E313": "A number out of range.",
    "E314": "An index outside a list.",
    "E315": "A function of numbers with the wrong count of arguments.",
    "E316": "A setting that the operation refuses.",
    "E317": "A value of another kind is needed here.",
    "E318": "Only the file knows the type of the data: declare it.",
    "E319": "A spec that unfolds into too many operations.",
    "E401": "Shapes do not broadcast, or differ where they must agree.",
    "E402": "A tensor of another rank or shape is needed.",
    "E403": "A declared shape is not the one that arrives.",
    "E404": "The two sides of a `residual` differ.",
    "E405": "A loss or metric must be one number.",
    "E406": "A parameter given by name has another shape.",
    "E408": "A slice without elements.",
    "E409": "Parts do not divide an axis.",
    "E411": "A reshape to another number of elements.",
    "E412": "A pattern of `rearrange` that cannot be.",
    "E413": "Two sizes cannot be shown to be equal.",
    "E414": "An element type that does not fit.",
    "E415": "Only axes of size 1 can be squeezed.",
    "E416": "Axes that the operation cannot work along.",
    "E417": "The gradient of this operation is not available.",
    "E418": "An operation without derivative between the loss and a parameter.",
    "E419": "An axis or index that does not exist.",
    "E501": "A parameter needs a size that is known.",
    "E502": "Two parameters have the same name.",
    "E503": "A parameter exists only in training, or only outside it.",
    "E504": "A parameter has an element type it cannot have.",
}

NET = "net a {\n  in x: f32[B, 8]\n"
YAML_NET = "net:\n  a:\n    in:\n      x: f32[B]\n"
EXAMPLES = {
    "E101": ("a.weft", "param d=a @ b\n"),
    "E102": ("a.weft", NET + "  x -> linear(8 -> relu\n}\n"),
    "E103": ("a.weft", NET + "  x -> dropout(p=0.1, p=2)\n}\n"),
    "E104": ("a.weft", NET + "  x -> linear(features=4, true)\n}\n"),
    "E106": ("a.weft", "param entries=1_000\n"),
    "E110": ("a.weft", "# nothing yet\n"),
    "E111": ("a.yaml", YAML_NET + "    weight:\n      w: [1]\n    out: x\n"),
    "E112": ("a.yaml", "param:\n  a: {b: 1}\n"),
    "E113": ("a.yaml", "- a\n"),
    "E114": ("a.yaml", "? [a]\n: b\n"),
    "E115": ("a.yaml", "block:\n  A:\n    - linear: 10\n    - relu\n"),
    "E116": ("a.yaml", "block:\n  A:\n    - repeat: 3\n"),
    "E117": ("a.yaml", "block:\n  A:\n    - branch: relu\n"),
    "E118": ("a.yaml", "block:\n  A: x -> residual { f }\n"),
    "E119": ("a.yaml", "a: [1, 2\n"),
    "E120": ("a.yaml", "param: &p\n  d: 3\n"),
    "E121": ("a.yaml", "param:\n  on: !!str yes\n"),
    "E122": ("a.yaml", "param:\n  a: 1\n---\nb: 2\n"),
    "E201": ("a.yaml", "param:\n  d: 3\n  d: 4\n"),
    "E203": ("a.yaml", "net:\n  a:\n    in:\n      x: f32[B, 8]\n    outs: x -> relu\n"),
    "E205": ("a.weft", NET + "  x -> linear(8)\n  tanh -> relu\n}\n"),
    "E206": ("a.weft", NET + "  h = x\n}\n"),
    "E207": ("a.weft", "train {\n  data a: f32[B], b = f()\n}\n"),
    "E209": (
        "a.weft",
        "train {\n  step s updates a {\n    optimizer = a -> b\n    loss = x\n  }\n}\n",
    ),
    "E214": ("a.weft", "net a {\n  relu\n}\n"),
    "E312": ("a.weft", "param n=0, m=1/n\n" + NET + "  x -> linear(m)\n}\n"),
    "E313": ("a.weft", "param n=10.0**400\n" + NET + "  x -> linear(8)\n}\n"),
    "E314": ("a.weft", "param w=[8, 4], last=w[2]\n" + NET + "  x -> linear(last)\n}\n"),
    "E315": ("a.weft", "param n=sqrt(1, 2)\n" + NET + "  x -> linear(8)\n}\n"),
}


def page() -> str:
    """The whole page."""
    lines = [
        "# Errors",
        "",
        "Written by `python docs/errors_page.py` from the bad specs of the tests. A message names",
        "the place, the code, the cause, and a way out where there is one; all errors of a spec",
        "come at once.",
    ]
    for start, title in PARTS.items():
        lines += ["", f"## {title}"]
        for code in sorted(c for c in MEANINGS if c.startswith(start)):
            lines += ["", f"**{code}** {MEANINGS[code]}"]
            lines += _shown(code)
    return "\n".join(lines) + "\n"


def _shown(code: str) -> list[str]:
    """The example of a code: the spec and its message, as a fence; nothing where there is none."""
    found = EXAMPLES.get(code) or _bad_spec(code)
    if found is None:
        return []
    name, text = found
    message = _message(name, text, code)
    return ["", "```", text.rstrip("\n"), "", *message.splitlines(), "```"]


def _bad_spec(code: str) -> tuple[str, str] | None:
    """The shortest bad spec of the tests for a code."""
    files = sorted(BAD_SPECS.glob(f"{code}_*.weft"), key=lambda p: (p.stat().st_size, p.name))
    return ("a.weft", files[0].read_text(encoding="utf-8")) if files else None


def _message(name: str, text: str, code: str) -> str:
    """What weft says of the text.

    Raises: ValueError when it says nothing, or nothing of this code.
    """
    try:
        elaborate(load_text(text, name))
    except SpecError as error:
        if code in {found.code for found in error.diagnostics}:
            return "\n".join(line.rstrip() for line in str(error).splitlines())
        raise ValueError(f"the example of {code} earns {error}") from error
    raise ValueError(f"the example of {code} is right")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
