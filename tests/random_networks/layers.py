"""Activations, norms, linear layers and what moves numbers about, by chance."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional as F

from .twins import IMAGE, SEQUENCE, VECTOR, Draw, Layer, Run, Shape, Tensor
from .windows import divisors

Twin = Callable[[Run, Tensor], Tensor]


def hardsigmoid(x: Tensor) -> Tensor:
    """torch's own has 1/6 in single precision in its gradient."""
    return (x + 3).clamp(0, 6) / 6


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "leaky_relu(0.2)": lambda x: F.leaky_relu(x, 0.2),
    "relu6": F.relu6,
    "elu": F.elu,
    "elu(0.5)": lambda x: F.elu(x, 0.5),
    "celu(2)": lambda x: F.celu(x, 2.0),
    "selu": F.selu,
    "gelu": F.gelu,
    "gelu(approximate=tanh)": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "hardswish": lambda x: x * hardsigmoid(x),
    "hardsigmoid": lambda x: hardsigmoid(x),
    "hardtanh": F.hardtanh,
    "softsign": F.softsign,
    "logsigmoid": F.logsigmoid,
    "softshrink": F.softshrink,
    "tanhshrink": F.tanhshrink,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "sin": torch.sin,
    "square": torch.square,
    "abs": torch.abs,
    "erf": torch.erf,
    "clamp(low=-0.5, high=1.5)": lambda x: x.clamp(-0.5, 1.5),
    "stop_gradient -> add(1)": lambda x: x.detach() + 1,
}


def activation(d: Draw, shape: Shape) -> Layer:
    text = d.choice(("relu", d.choice(list(ACTIVATIONS))))
    function = ACTIVATIONS[text]
    return Layer("activation", text=text, twin=lambda run, x: function(x))


def softmax(d: Draw, shape: Shape) -> Layer:
    axis, log = d.randint(1, len(shape)), d.odds(0.3)
    at = axis if d.odds(0.5) else axis - len(shape) - 1
    word = "log_softmax" if log else "softmax"
    twin = (lambda run, x: x.log_softmax(axis)) if log else (lambda run, x: x.softmax(axis))
    return Layer(word, text=f"{word}(axis={at})", twin=twin)


def affine(d: Draw) -> tuple[str, bool, bool]:
    """What a norm learns: the settings, whether a weight, whether a bias."""
    return d.choice((("", True, True), ("", True, True), ("affine=false", False, False),
                     ("bias=false", True, False), ("weight=false", False, True)))  # fmt: skip


def _scaled(run: Run, x: Tensor, axis: int, weight: bool, bias: bool) -> Tensor:
    shape = [1] * x.ndim
    shape[axis] = x.shape[axis]
    if weight:
        x = x * run.weight("weight", x.shape[axis]).reshape(shape)
    if bias:
        x = x + run.weight("bias", x.shape[axis]).reshape(shape)
    return x


FEWEST = 100
"""Terms of a mean, as far as rounding goes: kernels multiply before they subtract it."""


def _standard(run: Run, x: Tensor, axes: tuple[int, ...], eps: float = 1e-5) -> Tensor:
    mean = x.mean(axes, keepdim=True)
    terms = max(x.numel() / mean.numel(), FEWEST)
    mean = run.rounded(mean, terms)
    var = run.rounded(((x - mean) ** 2).mean(axes, keepdim=True), terms)
    return (x - mean) / torch.sqrt(var + eps)


def batch_norm(d: Draw, shape: Shape) -> Layer:
    settings, weight, bias = affine(d)
    momentum = d.choice((0.1, 0.1, 0.3))
    more = [settings] if settings else []
    more += [f"momentum={momentum}"] if momentum != 0.1 else []

    def twin(run: Run, x: Tensor) -> Tensor:
        c = x.shape[1]
        mean, var = run.weight("running_mean", c), run.weight("running_var", c)
        axes, wide = (0, *range(2, x.ndim)), (1, -1, *[1] * (x.ndim - 2))
        if run.training:
            count = x.numel() / c
            now = x.detach().mean(axes), x.detach().var(axes, correction=0)
            now = now[0], now[1] * count / max(count - 1, 1)
            for leaf, old, new in zip(("mean", "var"), (mean, var), now, strict=True):
                path = run.path(f"running_{leaf}")
                run.left[path] = (1 - momentum) * run.left.get(path, old) + momentum * new
            y = _standard(run, x, axes)
        else:
            y = (x - mean.reshape(wide)) / torch.sqrt(var.reshape(wide) + 1e-5)
        return _scaled(run, y, 1, weight, bias)

    text = f"batch_norm({', '.join(more)})" if more else "batch_norm"
    return Layer("batch_norm", d.name("n"), text=text, twin=twin)


def _alike(d: Draw, count: int) -> bool:
    """Whether a norm of so few numbers is too rarely worth a try: it leaves rounding alone."""
    return count < 3 and not d.odds(0.1)


def group_norm(d: Draw, shape: Shape) -> Layer | None:
    groups = d.choice(divisors(shape[0]))
    if _alike(d, math.prod(shape) // groups):
        return None
    settings, weight, bias = affine(d)

    def twin(run: Run, x: Tensor) -> Tensor:
        y = x.reshape(x.shape[0], groups, -1)
        return _scaled(run, _standard(run, y, (2,)).reshape(x.shape), 1, weight, bias)

    text = f"group_norm({groups}{', ' if settings else ''}{settings})"
    return Layer("group_norm", d.name("n"), text=text, twin=twin)


def instance_norm(d: Draw, shape: Shape) -> Layer | None:
    if _alike(d, math.prod(shape[1:])):
        return None
    learns = d.odds(0.5)

    def twin(run: Run, x: Tensor) -> Tensor:
        return _scaled(run, _standard(run, x, tuple(range(2, x.ndim))), 1, learns, learns)

    text = "instance_norm(affine=true)" if learns else "instance_norm"
    return Layer("instance_norm", d.name("n"), text=text, twin=twin)


def response_norm(d: Draw, shape: Shape) -> Layer:
    size, alpha = d.randint(1, 5), d.choice((1e-4, 0.1))

    def twin(run: Run, x: Tensor) -> Tensor:
        flat = x.reshape(*x.shape[:2], -1)
        return F.local_response_norm(flat, size, alpha, 0.75, 1.0).reshape(x.shape)

    text = f"local_response_norm({size}, alpha={alpha})"
    return Layer("local_response_norm", text=text, twin=twin)


def layer_norm(d: Draw, shape: Shape) -> Layer | None:
    if _alike(d, shape[-1]):
        return None
    settings, weight, bias = affine(d)
    twin = lambda run, x: _scaled(run, _standard(run, x, (-1,)), x.ndim - 1, weight, bias)  # noqa: E731
    text = f"layer_norm({settings})" if settings else "layer_norm"
    return Layer("layer_norm", d.name("n"), text=text, twin=twin)


def rms_norm(d: Draw, shape: Shape) -> Layer:
    def twin(run: Run, x: Tensor) -> Tensor:
        y = x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6)
        return _scaled(run, y, x.ndim - 1, True, False)

    return Layer("rms_norm", d.name("n"), text="rms_norm", twin=twin)


def linear(d: Draw, shape: Shape, out: int = 0) -> Layer:
    out, bias = out or d.randint(1, 9), d.odds(0.7)

    def twin(run: Run, x: Tensor) -> Tensor:
        w = run.weight("weight", out, x.shape[-1])
        return F.linear(x, w, run.weight("bias", out) if bias else None)

    text = f"linear({out}{'' if bias else ', bias=false'})"
    return Layer("linear", d.name("k"), text=text, twin=twin)


def gated_hidden(d: Draw, shape: Shape) -> Layer:
    """swiglu or geglu."""
    hidden, soft = d.randint(1, 6), d.odds(0.5)
    gate_of = F.silu if soft else F.gelu

    def twin(run: Run, x: Tensor) -> Tensor:
        c = x.shape[-1]
        gate = F.linear(x, run.weight("gate.weight", hidden, c))
        up = F.linear(x, run.weight("up.weight", hidden, c))
        return F.linear(gate_of(gate) * up, run.weight("down.weight", c, hidden))

    word = "swiglu" if soft else "geglu"
    return Layer(word, d.name("k"), text=f"{word}({hidden})", twin=twin)


def dropout(d: Draw, shape: Shape) -> Layer:
    p = d.choice((0.1, 0.3, 0.5))

    def twin(run: Run, x: Tensor) -> Tensor:
        if not run.training:
            return x
        return torch.where(run.uniform(*x.shape) >= p, x / (1 - p), 0.0)

    return Layer("dropout", text=f"dropout({p})", twin=twin)


def _masked(word: str, axes: int) -> Callable[[Draw, Shape], Layer]:
    """Dropout with one number for what is behind the first axes."""

    def draw(d: Draw, shape: Shape) -> Layer:
        p = d.choice((0.2, 0.5))

        def twin(run: Run, x: Tensor) -> Tensor:
            if not run.training:
                return x
            kept = torch.where(run.uniform(*x.shape[:axes]) >= p, 1 / (1 - p), 0.0)
            return x * kept.reshape(*x.shape[:axes], *[1] * (x.ndim - axes))

        return Layer(word, text=f"{word}({p})", twin=twin)

    return draw


channel_dropout = _masked("channel_dropout", 2)
stochastic_depth = _masked("stochastic_depth", 1)


def squeeze_excite(d: Draw, shape: Shape) -> Layer:
    c = shape[0]
    reduction = d.randint(1, c)

    def twin(run: Run, x: Tensor) -> Tensor:
        k = c // reduction
        y = x.flatten(2).mean(2)
        y = F.linear(y, run.weight("squeeze.weight", k, c), run.weight("squeeze.bias", k)).relu()
        y = F.linear(y, run.weight("excite.weight", c, k), run.weight("excite.bias", c)).sigmoid()
        return x * y.reshape(*y.shape, *[1] * (x.ndim - 2))

    text = f"squeeze_excite({reduction})"
    return Layer("squeeze_excite", d.name("k"), text=text, twin=twin)


def maxout(d: Draw, shape: Shape) -> Layer | None:
    axis = d.randint(1, len(shape))
    if d.open and axis > 1:
        return None
    pieces = d.choice(divisors(shape[axis - 1]))

    def twin(run: Run, x: Tensor) -> Tensor:
        return x.unflatten(axis, (-1, pieces)).amax(axis + 1)

    return Layer("maxout", text=f"maxout({pieces}, axis={axis})", twin=twin)


def glu(d: Draw, shape: Shape) -> Layer | None:
    even = [k for k, s in enumerate(shape, 1) if s % 2 == 0]
    if not even or d.open:
        return None
    axis = d.choice(even)
    twin = lambda run, x: F.glu(x, axis)  # noqa: E731
    return Layer("glu", text=f"glu(axis={axis})", twin=twin)


REDUCTIONS: dict[str, Callable[..., Tensor]] = {
    "sum": torch.sum,
    "mean": torch.mean,
    "max": torch.amax,
    "min": torch.amin,
    "logsumexp": torch.logsumexp,
}


def reduction(d: Draw, shape: Shape) -> Layer | None:
    """Over some of the axes after the first one, which stay as axes of 1."""
    axes = tuple(sorted(d.sample(range(1, len(shape) + 1), d.randint(1, min(2, len(shape))))))
    if len(shape) == 1:
        return None
    word = d.choice((*REDUCTIONS, "var"))
    written = f"[{', '.join(map(str, axes))}]" if len(axes) > 1 or d.odds(0.2) else f"{axes[0]}"
    if word == "var":
        twin = lambda run, x: x.var(axes, correction=0, keepdim=True)  # noqa: E731
        text = f"var(axis={written}, correction=0, keep=true)"
    else:
        function = REDUCTIONS[word]
        twin = lambda run, x: function(x, axes, keepdim=True)  # noqa: E731
        text = f"{word}(axis={written}, keep=true)"
    return Layer(f"{word} over axes", text=text, twin=twin)


def cumsum(d: Draw, shape: Shape) -> Layer:
    axis = d.randint(1, len(shape))
    return Layer("cumsum", text=f"cumsum(axis={axis})", twin=lambda run, x: x.cumsum(axis))


def flip(d: Draw, shape: Shape) -> Layer:
    axis = d.randint(1, len(shape))
    return Layer("flip", text=f"flip(axis={axis})", twin=lambda run, x: x.flip(axis))


def flatten(d: Draw, shape: Shape) -> Layer | None:
    if d.open:
        return None
    return Layer("flatten", to=VECTOR, text="flatten", twin=lambda run, x: x.flatten(1))


def as_sequence(d: Draw, shape: Shape) -> Layer | None:
    """Pixels as steps."""
    if d.open or len(shape) == 1:
        return None
    names = ["d", "h", "w"][-(len(shape) - 1) :]
    pattern = f"b c {' '.join(names)} -> b ({' '.join(names)}) c"
    twin = lambda run, x: x.flatten(2).transpose(1, 2)  # noqa: E731
    return Layer("pixels as steps", to=SEQUENCE, text=f'rearrange("{pattern}")', twin=twin)


def as_image(d: Draw, shape: Shape) -> Layer | None:
    """A vector or a sequence as an image."""
    if d.open:
        return None
    if len(shape) == 2:
        return Layer("steps as pixels", to=IMAGE, text="transpose",
                     twin=lambda run, x: x.transpose(1, 2))  # fmt: skip
    n = shape[0]
    c = d.choice(divisors(n))
    h = d.choice(divisors(n // c))
    sizes = (c, h, n // c // h)
    twin = lambda run, x: x.reshape(-1, *sizes)  # noqa: E731
    text = f"reshape([-1, {', '.join(map(str, sizes))}])"
    return Layer("vector as image", to=IMAGE, text=text, twin=twin)


def transpose(d: Draw, shape: Shape) -> Layer | None:
    """Axes of space in another order."""
    if len(shape) < 3:
        return None
    order = list(range(2, len(shape) + 1))
    d.shuffle(order)
    axes = [0, 1, *order]
    return Layer("transpose", text=f"transpose(axes={axes})", twin=lambda run, x: x.permute(axes))


def arithmetic(d: Draw, shape: Shape) -> Layer:
    text, twin = d.choice((
        ("mul(0.5)", lambda run, x: x * 0.5),
        ("add(1)", lambda run, x: x + 1),
        ("mul(-2) -> add(0.25)", lambda run, x: x * -2 + 0.25),
        ("maximum(-0.5)", lambda run, x: x.clamp(min=-0.5)),
    ))  # fmt: skip
    return Layer("arithmetic", text=text, twin=twin)
