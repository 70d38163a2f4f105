"""The words in a picture: settings of layers, shapes, numbers; and the family of an operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...spec.dims import Dim
from ..table import count_text
from .sketch import Item, Shape

FAMILIES = {
    "product": "linear embedding matmul bilinear einsum squeeze_excite swiglu geglu"
    " learned_positions sinusoidal_positions sinusoidal rope",
    "attention": "attention",
    "recurrent": "rnn lstm gru",
    "activation": "relu leaky_relu relu6 elu celu selu gelu silu mish hardswish hardsigmoid"
    " hardtanh softsign logsigmoid softshrink hardshrink tanhshrink glu softmax log_softmax tanh"
    " sigmoid softplus prelu maxout sin cos exp log sqrt square",
    "pool": "mean sum max min upsample cumsum argmax",
    "reshape": "flatten reshape rearrange transpose concat split stack chunk patchify pixel_shuffle"
    " pixel_unshuffle channel_shuffle center_crop slice squeeze unsqueeze expand flip pad take"
    " shuffle roll",
}
FAMILY = {name: family for family, names in FAMILIES.items() for name in names.split()}
THIN = ("activation", "norm")
LONGEST, WIDEST = 40, 40
Settings = Mapping[str, str]
Details = Callable[[dict[str, str], Item], list[str]]  # takes out the settings that it tells


def family(item: Item) -> str:
    """The colour of a leaf."""
    if item.kind != "layer":
        return item.kind
    if item.name.endswith("_norm") or "dropout" in item.name or item.name == "stochastic_depth":
        return "norm"
    if "conv" in item.name:
        return "convolution"
    if item.name.endswith("_pool"):
        return "pool"
    return FAMILY.get(item.name, "other")


def is_thin(item: Item) -> bool:
    """Does a layer leave the shape alone, so that it may be a strip below another?"""
    return family(item) in THIN and not item.again


def detail(item: Item, slice_text: Callable[[Item], str]) -> str:
    """The settings that matter: `3×3, 64, /2`."""
    rest = dict(item.settings)
    if item.kind == "operator":
        if item.name == "[…]":
            return cut(slice_text(item), 22)
        return cut(_rounded(rest.get("right", "")), 16)
    usual = _norm if item.name.endswith("_norm") else _plain
    say: Details = DETAILS.get(item.name, usual)
    said = say(rest, item)
    rest.pop("bias", None)
    return cut(", ".join([*(s for s in said if s), *_words(rest)]))


def operator(item: Item) -> str:
    """The sign in a round box, with a number that stands before it."""
    signs = {"*": "×", "-": "−", "/": "÷", "[…]": "slice", "**": "^"}
    sign, left = signs.get(item.name, item.name), item.settings.get("left")
    return f"{cut(_rounded(left), 16)} {sign}" if left else sign


def shape_text(shape: Shape, last: Shape | None = None) -> str:
    """`[B, 64, 56, 56]`; of two shapes `[B, 64 … 224, 56, 56]`."""
    if last is None or len(last) != len(shape):
        last = shape
    dims = [_dim(a, b) for a, b in zip(shape, last, strict=True)]
    text = f"[{', '.join(dims)}]"
    if len(text) > WIDEST:
        text = f"[{', '.join(dim if len(dim) <= 12 else '…' for dim in dims)}]"
    return text


def number(count: int, last: int | None = None) -> str:
    """1_234_567 -> `1.23 M`; of two numbers a range."""
    first = count_text(count)
    other = count_text(last) if last is not None else first
    return first if first == other else f"{first} … {other}"


def cut(text: str, longest: int = LONGEST) -> str:
    """No longer than that."""
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip(', ')}…"


def _dim(first: Dim, last: Dim) -> str:
    return str(first) if first == last else f"{first} … {last}"


def _rounded(text: str) -> str:
    """`22.6274` -> `22.63`."""
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return text


def _window(rest: dict[str, str], item: Item) -> str:
    """`3` -> `3×3` for images."""
    kernel, stride = rest.pop("kernel", ""), rest.pop("stride", "1")
    axes = max(len(item.shapes[0]) - 2, 1)
    sizes = kernel.strip("[]").split(", ") if kernel.startswith("[") else [kernel] * axes
    rest.pop("pad", None)
    ahead = f", /{stride}" if stride not in ("1", "[1, 1]", kernel) else ""
    return "×".join(sizes) + ahead


def _convolution(rest: dict[str, str], item: Item) -> list[str]:
    window, _, stride = _window(rest, item).partition(", ")
    groups = rest.pop("groups", "1")
    dilation = rest.pop("dilation", "1")
    return [
        window,
        rest.pop("channels", ""),
        stride,
        f"groups {groups}" if groups != "1" else "",
        f"dilation {dilation}" if dilation != "1" else "",
    ]


def _up(rest: dict[str, str], item: Item) -> list[str]:
    stride = rest.pop("stride", "1")
    said = _convolution(rest, item)
    return [*said, f"×{stride}" if stride != "1" else ""]


def _attention(rest: dict[str, str], item: Item) -> list[str]:
    for name in ("dropout", "mask", "memory"):
        rest.pop(name, None)
    heads, causal = rest.pop("heads", ""), rest.pop("causal", "")
    return [f"{heads} heads", "causal" if causal == "true" else ""]


def _embedding(rest: dict[str, str], item: Item) -> list[str]:
    return [" × ".join(filter(None, (rest.pop("entries", ""), rest.pop("features", ""))))]


def _first(name: str) -> Details:
    return lambda rest, item: [rest.pop(name, "")]


def _plain(rest: dict[str, str], item: Item) -> list[str]:
    return []


def _norm(rest: dict[str, str], item: Item) -> list[str]:
    for name in ("eps", "momentum", "affine", "weight", "bias"):
        rest.pop(name, None)
    return []


def _silent(rest: dict[str, str], item: Item) -> list[str]:
    rest.clear()
    return []


DETAILS: dict[str, Details] = {
    "conv": _convolution,
    "separable_conv": _convolution,
    "standardised_conv": _convolution,
    "conv_transpose": _up,
    "max_pool": lambda rest, item: [_window(rest, item)],
    "avg_pool": lambda rest, item: [_window(rest, item)],
    "linear": _first("features"),
    "swiglu": _first("hidden"),
    "geglu": _first("hidden"),
    "learned_positions": _first("entries"),
    "embedding": _embedding,
    "attention": _attention,
    "rearrange": lambda rest, item: [rest.pop("pattern", "").strip('"')],
    "lstm": _first("units"),
    "gru": _first("units"),
    "rnn": _first("units"),
    "upsample": lambda rest, item: [f"×{rest.pop('scale', '2')}"],
    "gelu": _silent,
    "concat": _silent,
    "stack": _silent,
    "flatten": _silent,
    "reshape": _first("shape"),
    "expand": _first("shape"),
    "arange": _first("n"),
    "group_norm": lambda rest, item: [*_norm(rest, item), f"{rest.pop('groups', '')} groups"],
}


def _words(rest: Settings) -> list[str]:
    """The other settings, as the spec writes them."""
    words = []
    for name, value in rest.items():
        if name in ("weight", "pad_mode") and "." in value:
            words.append(f"{name} = {value}")
        elif value not in ("true", "false"):
            words.append(f"{name}={value}".replace('"', ""))
        elif value == "true":
            words.append(name)
    return words
