"""The initialisers a spec may name, and their settings; `runtime.initialise` carries them out."""

from __future__ import annotations

from collections.abc import Mapping

from .signature import Option, Signature

_SCALED = (
    Option("slope", "number", 0, "the negative slope of leaky_relu"),
    Option("mode", "word", "fan_in", "which fan keeps its variance", ("fan_in", "fan_out")),
    Option(
        "nonlinearity",
        "word",
        "leaky_relu",
        "what follows the layer; sets the gain",
        ("leaky_relu", "relu", "linear", "sigmoid", "tanh", "selu"),
    ),
    Option("gain", "number", None, "used instead of the nonlinearity's own", above=0),
)
_GAIN = (Option("gain", "number", 1, "a factor on the standard deviation", above=0),)
_HIDDEN = (Option("hidden", "integer", None, "units of the layer", required=True, low=1),)

_TABLE = (
    Signature("zeros", (), "all zeros"),
    Signature("ones", (), "all ones"),
    Signature("constant", (Option("value", "number", required=True),), "one value everywhere"),
    Signature(
        "buffer",
        (Option("value", "number", 0),),
        "one value everywhere, and never trained: a running statistic",
    ),
    Signature(
        "normal",
        (Option("mean", "number", 0), Option("std", "number", 1, low=0)),
        "normally distributed",
    ),
    Signature(
        "uniform",
        (Option("low", "number", 0), Option("high", "number", 1)),
        "uniform between low and high",
    ),
    Signature(
        "truncated_normal",
        (
            Option("mean", "number", 0),
            Option("std", "number", 1, low=0),
            Option("within", "number", 2, "cut at this many standard deviations", above=0),
        ),
        "normal, drawn again where it falls too far from the mean",
    ),
    Signature("orthogonal", _GAIN, "orthonormal rows or columns (Saxe et al. 2014)"),
    Signature("kaiming_uniform", _SCALED, "uniform, variance gain^2 / fan (He et al. 2015)"),
    Signature("kaiming_normal", _SCALED, "normal, variance gain^2 / fan (He et al. 2015)"),
    Signature("xavier_uniform", _GAIN, "uniform, variance 2 / (fan_in + fan_out) (Glorot 2010)"),
    Signature("xavier_normal", _GAIN, "normal, variance 2 / (fan_in + fan_out) (Glorot 2010)"),
    Signature("lecun_uniform", (), "uniform, variance 1 / fan_in (LeCun 1998)"),
    Signature("lecun_normal", (), "normal, variance 1 / fan_in (LeCun 1998)"),
    Signature("pytorch_linear", (), "PyTorch's default for linear: U(±1/sqrt(fan_in))"),
    Signature("pytorch_conv", (), "PyTorch's default for convolutions: U(±1/sqrt(fan_in))"),
    Signature("pytorch_embedding", (), "PyTorch's default for embeddings: N(0, 1)"),
    Signature("pytorch_lstm", _HIDDEN, "PyTorch's default for lstm: U(±1/sqrt(hidden))"),
    Signature("pytorch_gru", _HIDDEN, "PyTorch's default for gru: U(±1/sqrt(hidden))"),
    Signature(
        "pytorch_attention",
        (),
        "PyTorch's default for query, key and value: Xavier over the three stacked",
    ),
)

INITIALISERS: Mapping[str, Signature] = {signature.name: signature for signature in _TABLE}
"""Every initialiser by name."""
