"""Which layers there are for images, sequences and vectors, and how often each is drawn."""

from __future__ import annotations

from collections.abc import Callable

from . import layers, sequences, windows
from .twins import IMAGE, SEQUENCE, VECTOR, Draw, Layer, Shape

Make = Callable[[Draw, Shape], Layer | None]

ANY: tuple[tuple[Make, int], ...] = (
    (layers.activation, 6),
    (layers.softmax, 1),
    (layers.layer_norm, 2),
    (layers.rms_norm, 1),
    (layers.linear, 2),
    (layers.dropout, 2),
    (layers.reduction, 1),
    (layers.cumsum, 1),
    (layers.flip, 1),
    (layers.arithmetic, 1),
    (layers.maxout, 1),
    (layers.glu, 1),
    (layers.gated_hidden, 1),
    (layers.stochastic_depth, 1),
)
IMAGES: tuple[tuple[Make, int], ...] = (
    (windows.plain_convolution, 14),
    (windows.wider, 3),
    (windows.separable, 2),
    (windows.transposed, 5),
    (windows.max_pool, 3),
    (windows.avg_pool, 3),
    (windows.adaptive_pool, 2),
    (windows.global_pool, 1),
    (windows.upsample, 2),
    (windows.resize, 2),
    (windows.pixels, 2),
    (windows.channel_shuffle, 1),
    (windows.pad, 2),
    (windows.crop, 1),
    (windows.unfold, 1),
    (windows.patches, 1),
    (layers.batch_norm, 6),
    (layers.group_norm, 3),
    (layers.instance_norm, 2),
    (layers.response_norm, 2),
    (layers.squeeze_excite, 2),
    (layers.channel_dropout, 1),
    (layers.transpose, 1),
    (layers.flatten, 1),
    (layers.as_sequence, 1),
)
SEQUENCES: tuple[tuple[Make, int], ...] = (
    (sequences.attention, 6),
    (sequences.recurrent, 4),
    (sequences.bidirectional, 1),
    (sequences.scan, 2),
    (sequences.positions, 3),
    (sequences.locked_dropout, 1),
    (sequences.over_time, 1),
    (layers.linear, 4),
    (layers.as_image, 2),
    (layers.flatten, 1),
)
VECTORS: tuple[tuple[Make, int], ...] = (
    (layers.linear, 8),
    (layers.batch_norm, 3),
    (layers.group_norm, 1),
    (layers.as_image, 2),
)
TABLES = {
    IMAGE: (*IMAGES, *ANY),
    SEQUENCE: (*SEQUENCES, *ANY),
    VECTOR: (*VECTORS, *ANY),
}
OPEN = {
    layers.batch_norm, layers.group_norm, layers.instance_norm, layers.response_norm,
    layers.activation, layers.dropout, layers.arithmetic, layers.squeeze_excite,
    layers.channel_dropout, layers.stochastic_depth, layers.softmax, layers.flip, layers.cumsum,
    layers.reduction,
    windows.plain_convolution, windows.wider, windows.separable, windows.transposed,
    windows.max_pool, windows.avg_pool, windows.adaptive_pool, windows.global_pool,
    windows.upsample, windows.resize, windows.channel_shuffle, windows.pad,
    sequences.attention, sequences.recurrent, sequences.bidirectional, sequences.scan,
    sequences.positions, sequences.locked_dropout, sequences.over_time,
}  # fmt: skip
"""What may stand behind sizes that are symbols."""

LAST = {layers.layer_norm, layers.rms_norm, layers.linear, layers.gated_hidden}
"""Layers of the last axis, which in images of open sizes is one of them."""
