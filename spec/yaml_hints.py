"""What people write in a YAML spec in place of the right thing, and how to say so."""

from __future__ import annotations

from collections.abc import Container

from .yaml_nodes import Mapping, Node
from .yaml_nodes import Sequence as Items

MEANT = {
    "nets": "net", "model": "net", "models": "net", "blocks": "block", "params": "param",
    "imports": "import", "variants": "variant", "defaults": "default", "training": "train",
    "inputs": "in", "input": "in", "outputs": "out", "output": "out", "outs": "out",
    "result": "out", "return": "out", "layers": "let", "weights": "weight", "value": "values",
    "name": "as", "body": "do", "count": "repeat", "skip": "shortcut", "source": "from",
    "types": "type", "metrics": "metric", "update": "updates",
}  # fmt: skip
EXAMPLES = {
    "type": "f32[B, 64]",
    "declared": "f32[64] = zeros()",
    "names": "a, b",
    "header": "A(c, d=3)",
    "flow": "x -> relu",
    "outs": "x -> relu",
    "expr": "2*d",
}


def as_lines(node: Node, what: str) -> str:
    """How to write what is no mapping as one."""
    if isinstance(node, Items) and any(isinstance(item, Mapping) for item in node.items):
        return "write `key: value` lines, without `- `"
    if what == "`data`":
        return "name the fields: `image, label: digits(batch=64)` on a line below"
    return "write `key: value` lines below the key"


def is_section(name: str, value: Node, sections: Container[str]) -> bool:
    """Whether an entry that should be a net or a block looks like a section of one."""
    if name not in sections:
        return False
    body = isinstance(value, Mapping) and any(key.value in sections for key, _ in value.pairs)
    return not (body and name in ("out", "weight"))
