"""One example of everything that can be called: the table behind `weft doc`.

An operation's example is the body of a net, its lines joined by `; `, the types of the inputs
first.  Where there is none, `guesses` are tried: plain operations need no entry.  The training
section's are the line of a spec on which the thing stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .signature import Signature

SHAPES = ("[B, 64]", "[B, 16, 64]", "[B, 16, 28, 28]", "[B]")
"""The shapes of inputs that are tried where the table has no example."""

OPERATIONS: Mapping[str, str] = {
    # scalar functions
    "maximum": "x: f32[B, 64]; maximum(x, 0)",
    "minimum": "x: f32[B, 64], y: f32[B, 64]; minimum(x, y)",
    "pow": "x: f32[B, 64]; pow(x, 2)",
    "where": "x: f32[B, 64]; where(x > 0, x, 0.1*x)",
    "add": "x: f32[B, 64]; x -> branch { linear(32) | linear(32) } -> add",
    "mul": "x: f32[B, 64]; x -> branch { linear(32) | linear(32) -> sigmoid } -> mul",
    "identity": "x: f32[B, 64]; x -> branch { identity | relu } -> concat(axis=1)",
    "cast": "label: i32[B]; label -> cast(f32)",
    # reductions, products, functions
    "sum": "x: f32[B, 8, 64]; x -> sum(axis=-1)",
    "mean": "x: f32[B, 16, 28, 28]; x -> mean(axis=[2, 3])",
    "max": "x: f32[B, 8, 64]; x -> max(axis=1)",
    "min": "x: f32[B, 8, 64]; x -> min(axis=1, keep=true)",
    "logsumexp": "logits: f32[B, 10]; logits -> logsumexp(axis=-1)",
    "argmax": "logits: f32[B, 10]; logits -> argmax",
    "argmin": "distance: f32[B, 10]; distance -> argmin",
    "matmul": "a: f32[B, 8, 64], b: f32[B, 64, 16]; matmul(a, b)",
    "take": "table: f32[100, 16], index: i32[B]; take(table, index)",
    "size": "x: f32[B, 8, 64]; sum(x, axis=-1)/size(x, axis=-1)",
    "clamp": "x: f32[B, 64]; x -> clamp(low=-1, high=1)",
    "var": "x: f32[B, 64]; x -> var(axis=-1)",
    "std": "x: f32[B, 64]; x -> std(axis=-1)",
    "one_hot": "label: i32[B]; label -> one_hot(10)",
    # shapes
    "reshape": "x: f32[B, 784]; x -> reshape([B, 1, 28, 28])",
    "flatten": "x: f32[B, 16, 7, 7]; x -> flatten",
    "transpose": "x: f32[B, 8, 64]; x -> transpose",
    "rearrange": 'x: f32[B, 16, 7, 7]; x -> rearrange("b c h w -> b (h w) c")',
    "expand": "x: f32[1, 64]; x -> expand([8, 64])",
    "squeeze": "x: f32[B, 64, 1]; x -> squeeze(axis=-1)",
    "unsqueeze": "x: f32[B, 64]; x -> unsqueeze(axis=1)",
    "concat": "x: f32[B, 64], y: f32[B, 32]; concat(x, y, axis=1)",
    "stack": "x: f32[B, 64], y: f32[B, 64]; stack(x, y, axis=1)",
    "split": "x: f32[B, 64]; a, b = x -> split(2); a*sigmoid(b)",
    "pad": "x: f32[B, 16, 28, 28]; x -> pad([0, 0, 2, 2])",
    "position": "x: f32[B, 8, 64]; where(position(x, axis=1) > 0, x, 0)",
    "bounded": "index: i32[B]; index -> bounded(100)",
    "require": 'x: f32[B, 64]; x -> require(rank(x) == 2, "rows of features are needed")',
    "shape": "x: f32[B, 8, 64]; x -> reshape([B, shape(x)[1]*shape(x)[2]])",
    "rank": "x: f32[B, 8, 64]; x -> mean(axis=rank(x) - 1)",
    "divides": "x: f32[B, 8, 64]; x -> if divides(x, 2, axis=1) { reshape([B, 4, 128]) }",
    "is_integer": "x: f32[B, 64]; x -> if not is_integer(x) { round }",
    "flip": "x: f32[B, 8, 64]; x -> flip",
    "cumsum": "x: f32[B, 8, 64]; x -> cumsum(axis=1)",
    "cumprod": "x: f32[B, 8, 64]; x -> sigmoid -> cumprod(axis=1)",
    # windows
    "convolve": "x: f32[B, 3, 32, 32]; weight w: f32[8, 3, 3, 3] = pytorch_conv(); "
    "convolve(x, w, pad=same)",
    "convolve_transpose": "x: f32[B, 8, 16, 16]; weight w: f32[8, 4, 2, 2] = pytorch_conv(); "
    "convolve_transpose(x, w, stride=2)",
    "max_pool": "x: f32[B, 16, 28, 28]; x -> max_pool(2)",
    "max_unpool": "x: f32[B, 16, 28, 28]; small = x -> max_pool(2); max_unpool(small, x, 2)",
    "avg_pool": "x: f32[B, 16, 28, 28]; x -> avg_pool(2)",
    "per_axis": "x: f32[B, 16, 28, 28]; x -> reshape([B, 16, 28*28//per_axis(x, 2)[0], 2])",
    "repeat_pixels": "x: f32[B, 16, 7, 7]; x -> repeat_pixels(2)",
    "blend": "x: f32[B, 16, 7, 7]; x -> blend(2)",
    "stretch": "x: f32[B, 16, 7, 7]; x -> stretch(2)",
    "resize": "x: f32[B, 3, 30, 40]; x -> resize([224, 224], bicubic)",
    "middle": "x: f32[B, 3, 32, 32]; x -> middle([28, 20])",
    "window_sum": "x: f32[B, 16, 7, 7]; x -> window_sum(5, axis=1)",
    "global_avg_pool": "x: f32[B, 64, 7, 7]; x -> global_avg_pool -> linear(10)",
    "global_max_pool": "x: f32[B, 64, 7, 7]; x -> global_max_pool -> linear(10)",
    "adaptive_avg_pool": "x: f32[B, 64, H, W]; x -> adaptive_avg_pool(7) -> flatten -> linear(10)",
    "adaptive_max_pool": "x: f32[B, 64, 30, 40]; x -> adaptive_max_pool([3, 4])",
    "upsample": "x: f32[B, 16, 7, 7]; x -> upsample(2, bilinear)",
    "channel_dropout": "x: f32[B, 16, 28, 28]; x -> channel_dropout(0.2)",
    "stochastic_depth": "x: f32[B, 16, 28, 28]; "
    "x -> residual { conv(16, 3) -> relu -> stochastic_depth(0.1) }",
    "squeeze_excite": "x: f32[B, 64, 28, 28]; x -> squeeze_excite(16)",
    "conv": "x: f32[B, 3, 32, 32]; x -> conv(64, 3)",
    "conv_transpose": "x: f32[B, 64, 8, 8]; x -> conv_transpose(32, 2, stride=2)",
    "separable_conv": "x: f32[B, 32, 28, 28]; x -> separable_conv(64, 3)",
    "standardised_conv": "x: f32[B, 3, 32, 32]; x -> standardised_conv(64, 3)",
    "pixel_shuffle": "x: f32[B, 64, 8, 8]; x -> pixel_shuffle(2)",
    "pixel_unshuffle": "x: f32[B, 3, 32, 32]; x -> pixel_unshuffle(2)",
    "channel_shuffle": "x: f32[B, 32, 28, 28]; x -> channel_shuffle(4)",
    "patchify": "image: f32[B, 3, 224, 224]; image -> patchify(16) -> linear(768)",
    "unfold": "x: f32[B, 16, 28, 28]; x -> unfold(7, stride=3)",
    "fold": "x: f32[B, 16, 28, 28]; columns = x -> unfold(4, stride=2); "
    "fold(columns, [28, 28], 4, stride=2)",
    "center_crop": "x: f32[B, 3, 32, 32]; x -> center_crop(28)",
    "maxout": "x: f32[B, 64]; x -> linear(120) -> maxout(4)",
    # layers
    "linear": "x: f32[B, 64]; x -> linear(10)",
    "embedding": "token: i32[B, T]; token -> embedding(1000, 64)",
    "batch_norm": "x: f32[B, 16, 28, 28]; x -> conv(32, 3, bias=false) -> batch_norm -> relu",
    "instance_norm": "x: f32[B, 16, 28, 28]; x -> instance_norm(affine=true)",
    "local_response_norm": "x: f32[B, 16, 28, 28]; x -> local_response_norm(5)",
    "group_norm": "x: f32[B, 32, 28, 28]; x -> group_norm(8)",
    "attention": "x: f32[B, 16, 64]; x -> attention(4, causal=true)",
    "rnn": "x: f32[B, 16, 8]; x -> rnn(32)",
    "lstm": "x: f32[B, 16, 8]; y, h, c = x -> lstm(32, return_state=true); out y, h, c",
    "gru": "x: f32[B, 16, 8]; x -> gru(32)",
    "bidirectional": "x: f32[B, 16, 8]; x -> bidirectional(32)",
    "locked_dropout": "x: f32[B, 16, 8]; x -> locked_dropout(0.3) -> lstm(32)",
    "moe": "x: f32[B, 16, 64]; x -> residual { layer_norm -> moe(8, 256) }",
    # sequences and states
    "rnn_cell": "x: f32[B, 8], h: f32[B, 32]; rnn_cell(x, h, 32)",
    "lstm_cell": "x: f32[B, 8], h: f32[B, 32], c: f32[B, 32]; lstm_cell(x, h, c, 32)",
    "gru_cell": "x: f32[B, 8], h: f32[B, 32]; gru_cell(x, h, 32)",
    "scan": "x: f32[B, 16, 8], steps: i32[B]; x -> scan(gru_cell(32), lengths=steps)",
    "running": "x: f32[B, 64]; weight seen: f32[64] = buffer(0); "
    "x - running(seen, mean(x, axis=0))",
    # losses and measures
    "mse": "y: f32[B, 1], target: f32[B, 1]; mse(y, target)",
    "mae": "y: f32[B, 1], target: f32[B, 1]; mae(y, target)",
    "huber": "y: f32[B, 1], target: f32[B, 1]; huber(y, target, delta=0.5)",
    "bce": "logits: f32[B, 1], target: f32[B, 1]; bce(logits, target)",
    "focal": "logits: f32[B, 1, 64, 64], mask: f32[B, 1, 64, 64]; focal(logits, mask, gamma=2)",
    "dice_loss": "logits: f32[B, 1, 64, 64], mask: f32[B, 1, 64, 64]; "
    "bce(logits, mask) + dice_loss(logits, mask)",
    "cross_entropy": "logits: f32[B, 10], label: i32[B]; cross_entropy(logits, label)",
    "accuracy": "logits: f32[B, 10], label: i32[B]; accuracy(logits, label)",
    "perplexity": "logits: f32[B, T, 256], next: i32[B, T]; perplexity(logits, next)",
    "bits": "logits: f32[B, T, 256], next: i32[B, T]; bits(logits, next)",
    # new values
    "arange": "x: f32[B, 8, 64]; x*unsqueeze(cast(arange(8), f32), axis=-1)",
    "linspace": "x: f32[B, 64]; x*linspace(0, 1, 64)",
    "numbers": "x: f32[B, 1, 28, 28]; edge = numbers([[[[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]]]); "
    "convolve(x, edge, pad=same)",
    "zeros": "x: f32[B, 64]; concat(x, zeros([B, 1]), axis=1)",
    "ones": "x: f32[B, 64]; concat(x, ones([B, 1]), axis=1)",
    "full": "x: f32[B, 64]; concat(x, full([B, 1], 0.5), axis=1)",
    "normal": "x: f32[B, 64]; x + normal(like=x, std=0.1)",
    "uniform": "x: f32[B, 64]; where(uniform(like=x) > 0.5, x, 0)",
    "randint": "x: f32[B, 64]; take(x, randint(0, 64, [1]), axis=1)",
}

TRAINING: Mapping[str, Mapping[str, str]] = {
    "data source": {
        "csv": 'data x: f32[B, 4], y: i32[B] = csv("points.csv", target="class", split=[0.8, 0.2])',
        "tsv": 'data x: f32[B, 4], y: f32[B, 1] = tsv("points.tsv", target="price")',
        "npz": 'data x: f32[B, 4], y: i32[B] = npz("points.npz", test="held_out.npz")',
        "npy": 'data x: f32[B, 4], y: i32[B] = npy(["x.npy", "y.npy"])',
        "idx": 'data x: f32[B, 784], y: i32[B] = idx("images.gz", labels="labels.gz", flat=true)',
        "mnist": "data x: f32[B, 1, 28, 28], y: i32[B] = mnist(batch=128)",
        "digits": "data x: f32[B, 64], y: i32[B] = digits(batch=64)",
        "function": 'data x: f32[B, 2], y: f32[B, 1] = function("z = u*v", u=[-1, 1], v=[-1, 1], '
        "grid=51)",
        "cifar10": "data x: f32[B, 3, 32, 32], y: i32[B] = cifar10(batch=128)",
        "cifar100": "data x: f32[B, 3, 32, 32], y: i32[B] = cifar100(labels=coarse)",
        "images": 'data x: f32[B, 3, 224, 224], y: i32[B] = images("photographs", size=224, '
        "colour=true)",
        "segmentation": "data x: f32[B, 1, 64, 64], y: f32[B, 1, 64, 64] = "
        'segmentation("images", "masks", size=64, colour=false)',
        "curves": "data x: f32[B, 1, 64, 64], y: f32[B, 1, 64, 64] = curves(samples=500)",
        "crowds": "data x: f32[B, 1, 64, 64], y: f32[B, 1, 8, 8] = crowds(people=[5, 40])",
        "image": 'data x: f32[B, 2], y: f32[B, 1] = image("boat.pgm", size=64)',
        "text": 'data x, y = text("books", suffix=".txt", length=256, split=0.9)',
        "stdlib": "data x, y = stdlib(length=256, batch=16)",
        "tokens": 'data x, y = tokens("train.bin", test="held_out.bin", length=1024)',
        "pairs": 'data source, x, y, mask = pairs("sentences.tsv", length=64, split=0.95)',
        "sequences": "data source, x, y, mask = sequences(task=reverse, length=[4, 12])",
    },
    "optimizer": {
        "sgd": "optimizer = sgd(lr=0.1, momentum=0.9)",
        "adam": "optimizer = adam(lr=1e-3)",
        "adamw": "optimizer = adamw(lr=cosine(3e-4, warmup=2), weight_decay=0.1)",
        "rmsprop": "optimizer = rmsprop(lr=1e-3)",
        "adagrad": "optimizer = adagrad(lr=1e-2)",
        "lion": "optimizer = lion(lr=1e-4)",
        "lbfgs": "optimizer = lbfgs(max_iter=10)",
    },
    "schedule": {
        "constant": "optimizer = adam(lr=constant(1e-3, warmup=2))",
        "cosine": "optimizer = adam(lr=cosine(1e-3, warmup=2))",
        "cosine_restarts": "optimizer = sgd(lr=cosine_restarts(0.1, 10, growth=2), momentum=0.9)",
        "plateau": "optimizer = adam(lr=plateau(1e-3, patience=5, decay=0.3))",
        "polynomial": "optimizer = sgd(lr=polynomial(0.01, power=0.9), momentum=0.9)",
        "linear": "optimizer = adam(lr=linear(1e-3, final=1e-5))",
        "one_cycle": "optimizer = sgd(lr=one_cycle(0.1), momentum=0.9)",
        "exponential": "optimizer = adam(lr=exponential(1e-3, decay=0.95))",
        "step_decay": "optimizer = sgd(lr=step_decay(0.1, at=[5, 8]), momentum=0.9)",
        "inverse_sqrt": "optimizer = adam(lr=inverse_sqrt(512, warmup=2))",
    },
    "initialiser": {
        "zeros": "weight w: f32[64, 32] = zeros()",
        "ones": "weight w: f32[64, 32] = ones()",
        "constant": "weight w: f32[64, 32] = constant(0.1)",
        "buffer": "weight w: f32[64, 32] = buffer(1)",
        "normal": "weight w: f32[64, 32] = normal(std=0.02)",
        "uniform": "weight w: f32[64, 32] = uniform(-0.1, 0.1)",
        "truncated_normal": "weight w: f32[64, 32] = truncated_normal(std=0.02)",
        "orthogonal": "weight w: f32[64, 32] = orthogonal()",
        "kaiming_uniform": "weight w: f32[64, 32] = kaiming_uniform(nonlinearity=relu)",
        "kaiming_normal": "weight w: f32[64, 32] = kaiming_normal(mode=fan_out)",
        "xavier_uniform": "weight w: f32[64, 32] = xavier_uniform()",
        "xavier_normal": "weight w: f32[64, 32] = xavier_normal(gain=1.4)",
        "lecun_uniform": "weight w: f32[64, 32] = lecun_uniform()",
        "lecun_normal": "weight w: f32[64, 32] = lecun_normal()",
        "pytorch_linear": "weight w: f32[64, 32] = pytorch_linear()",
        "pytorch_conv": "weight w: f32[64, 32] = pytorch_conv()",
        "pytorch_embedding": "weight w: f32[64, 32] = pytorch_embedding()",
        "pytorch_lstm": "weight w: f32[64, 32] = pytorch_lstm(32)",
        "pytorch_gru": "weight w: f32[64, 32] = pytorch_gru(32)",
        "pytorch_attention": "weight w: f32[64, 32] = pytorch_attention()",
    },
    "stopping rule": {"patience": "early_stop = patience(10)"},
}
"""Kind and name to the line of a spec."""

NET = "net n {{\n  {lines}\n}}\n"
TRAINED = """\
net n {{
  in x: f32[B, 4]
  {weight}
  hidden = x -> linear(32)
  matmul(hidden, transpose(w)) -> linear(1)
}}
train {{
  epochs = 10
  {early_stop}
  {data}
  step s updates n {{
    {optimizer}
    loss = mean(n(ones([8, 4]))) + mean(cast(x, f32)) + mean(cast(y, f32))
  }}
}}
"""
LINES = {
    "data source": (
        "data x, y = {}",
        "data x: f32[B, 4], y: i32[B] = {}",
        "data x: f32[B, 3, 32, 32], y: i32[B] = {}",
    ),
    "optimizer": ("optimizer = {}",),
    "schedule": ("optimizer = sgd(lr={})",),
    "initialiser": ("weight w: f32[64, 32] = {}",),
    "stopping rule": ("early_stop = {}",),
}
"""The lines that are tried for what has no example."""

SAMPLES = {"text": '"folder"', "texts": '["a", "b"]', "range": "[0, 1]", "numbers": "[1, 2]"}
"""A value of each kind of setting; a number where nothing is said."""

PLACE = {
    "data source": "data",
    "optimizer": "optimizer",
    "schedule": "optimizer",
    "initialiser": "weight",
    "stopping rule": "early_stop",
}


def guesses(name: str, inputs: Sequence[tuple[str, str]], required: int) -> tuple[str, ...]:
    """Examples of an operation without an entry: inputs with their dtypes, 4 for every setting."""
    given = ", ".join(["4"] * required)
    first, *others = (each for each, _ in inputs)
    if others:
        called = f"{name}({', '.join([first, *others, *([given] if given else [])])})"
    else:
        called = f"{first} -> {name}({given})" if given else f"{first} -> {name}"
    return tuple(
        f"{', '.join(f'{each}: {dtype}{shape}' for each, dtype in inputs)}; {called}"
        for shape in SHAPES
    )


def training_guesses(kind: str, signature: Signature) -> tuple[str, ...]:
    """Lines with something of the training section that has no entry: the least it can be given."""
    needed = [
        SAMPLES.get(each.kind.split("|")[0], "1") for each in signature.options if each.required
    ]
    call = f"{signature.name}({', '.join(needed)})"
    return tuple(each.format(call) for each in LINES[kind])


def lines(usage: str) -> list[str]:
    """The lines of an operation's example: `in …` and the others."""
    inputs, *body = usage.split("; ")
    return [f"in {inputs}", *body]


def net(usage: str) -> str:
    """The spec in which an operation's example stands, with a net `n`."""
    return NET.format(lines="\n  ".join(lines(usage)))


def training(kind: str, line: str) -> str:
    """A spec in which a line of the training section, or a weight, stands."""
    parts = {
        "data": TRAINING["data source"]["csv"],
        "optimizer": TRAINING["optimizer"]["adam"],
        "weight": TRAINING["initialiser"]["zeros"],
        "early_stop": TRAINING["stopping rule"]["patience"],
        PLACE[kind]: line,
    }
    return TRAINED.format(**parts)
