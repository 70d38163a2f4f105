"""What other libraries call things: hints for those who know PyTorch, Keras and their like."""

from __future__ import annotations

from collections.abc import Collection

OPERATIONS = {
    "cat": "concat",
    "dense": "linear",
    "fc": "linear",
    "view": "reshape",
    "unflatten": "reshape",
    "permute": "transpose",
    "swish": "silu",
    "amax": "max",
    "amin": "min",
    "rand": "uniform",
    "randn": "normal",
    "detach": "stop_gradient",
    "gather": "take",
    "index_select": "take",
    "mse_loss": "mse",
    "l1_loss": "mae",
    "huber_loss": "huber",
    "smooth_l1": "huber",
    "smooth_l1_loss": "huber",
    "nll_loss": "cross_entropy",
    "softmax_cross_entropy": "cross_entropy",
    "binary_cross_entropy": "bce",
    "binary_cross_entropy_with_logits": "bce",
    "clip": "clamp",
    "im2col": "unfold",
    "col2im": "fold",
    "interpolate": "resize",
    "drop_path": "stochastic_depth",
    "se_block": "squeeze_excite",
    "se": "squeeze_excite",
    "deconv": "conv_transpose",
    "up_conv": "conv_transpose",
    "transposed_conv": "conv_transpose",
    "crop": "center_crop",
    "centre_crop": "center_crop",
    "gap": "global_avg_pool",
    "global_average_pool": "global_avg_pool",
    "global_average_pooling": "global_avg_pool",
    "max_pooling": "max_pool",
    "average_pool": "avg_pool",
    "average_pooling": "avg_pool",
    "up_sampling": "upsample",
    "zero_padding": "pad",
    "zero_pad": "pad",
    "lrn": "local_response_norm",
    "spatial_dropout": "channel_dropout",
    "depth_to_space": "pixel_shuffle",
    "space_to_depth": "pixel_unshuffle",
    "weight_standardised_conv": "standardised_conv",
    "ws_conv": "standardised_conv",
    "multi_head_attention": "attention",
    "self_attention": "attention",
    "cross_attention": "attention",
    "mixture_of_experts": "moe",
    "rotary": "rope",
    "rotary_embedding": "rope",
}
"""Operations by their other names, of which capitals, `_` and axes do not matter."""

_HIDDEN = "linear(4*width) -> gelu -> linear(width)"
_LAYER = f"residual {{ layer_norm -> attention(heads) }} -> residual {{ layer_norm -> {_HIDDEN} }}"
_DEPTHWISE = "of C channels it is `conv(C, 3, groups=C)`; `separable_conv` mixes channels behind it"
_PADDED = "`pad([0, 0, 1, 1], mode={0})`, a number for each axis; conv has `pad_mode={0}`"
_UNIT = "rows of length 1 are `x/sqrt(sum(x**2, axis=1, keep=true) + 1e-12)`"
_APART = "it is written out: `mean(relu(near - far + margin))`, of distances such as `sum((a - b)**2, axis=1)`"
_PAIRS = "it is written out: `cross_entropy(matmul(a, transpose(b))/t, arange(n))` of rows of length 1"
_OUTSIDE = "boxes are sorted out of what a net gives (examples/detector/shapes.py)"

WRITTEN_OUT = {
    "transformer": f"a layer is `{_LAYER}`",
    "transformer_block": f"it is written out: `{_LAYER}`",
    "transformer_layer": f"it is written out: `{_LAYER}`",
    "transformer_encoder_layer": f"it is written out: `{_LAYER}`",
    "transformer_decoder_layer": f"it is written out: `{_LAYER}`",
    "mlp": f"it is written out: `{_HIDDEN}`; `swiglu` is a gated one",
    "ffn": f"it is written out: `{_HIDDEN}`; `swiglu` is a gated one",
    "feed_forward": f"it is written out: `{_HIDDEN}`; `swiglu` is a gated one",
    "depthwise_conv": _DEPTHWISE,
    "conv_depthwise": _DEPTHWISE,
    "reflection_pad": _PADDED.format("reflect"),
    "mirror_pad": _PADDED.format("reflect"),
    "replication_pad": _PADDED.format("replicate"),
    "circular_pad": _PADDED.format("circular"),
    "positional_encoding": "`sinusoidal_positions` or `learned_positions(entries)`; `rope` is a "
    "setting of attention",
    "position_embedding": "`learned_positions(entries)`",
    "positional_embedding": "`learned_positions(entries)`",
    "normalize": _UNIT,
    "l2_normalize": _UNIT,
    "l2_norm": _UNIT,
    "cosine_similarity": "it is written out: rows of length 1, then `sum(a*b, axis=1)`",
    "kl_div": "`cross_entropy(logits, softmax(other))` has the same gradient by the logits",
    "kl_div_loss": "`cross_entropy(logits, softmax(other))` has the same gradient by the logits",
    "kl_divergence": "`cross_entropy(logits, softmax(other))` has the same gradient by the logits",
    "triplet_loss": _APART,
    "triplet_margin_loss": _APART,
    "contrastive_loss": _APART,
    "info_nce": _PAIRS,
    "nt_xent": _PAIRS,
    "tversky_loss": "`dice_loss(logits, target)`, with `focal` for rare classes",
    "iou_loss": "`dice_loss(logits, target)` has its minimum where that has it",
    "nms": _OUTSIDE,
    "roi_align": "there is none: detectors of one pass need none (examples/detector)",
    "grid_sample": "there is none; `resize` and `upsample` go to other sizes",
    "deform_conv": "there is none; `conv` with `dilation` sees further",
    "spectral_norm": "there is none; `clip` bounds gradients, `weight_decay` the weights",
    "weight_norm": "there is none; `standardised_conv` normalises kernels",
}
"""What other libraries have as a whole, and how it is written here."""

WITH_AXIS = {
    "layernorm2d": "`layer_norm` is over the last axis; over channels: `rearrange(\"b c h w -> b h w c\")"
    " -> layer_norm -> rearrange(\"b h w c -> b c h w\")`",
}
"""Where the ending of another library's name says more than how many axes there are."""

WITH_AXES = {"dropout2d": "channel_dropout", "dropout3d": "channel_dropout"}

SETTINGS = {
    "dim": "axis",
    "dims": "axis",
    "keepdim": "keep",
    "keepdims": "keep",
    "out_features": "features",
    "units": "features",
    "num_embeddings": "entries",
    "embedding_dim": "features",
    "negative_slope": "slope",
    "ignore_index": "ignore",
    "min": "low",
    "max": "high",
    "elementwise_affine": "affine",
    "num_classes": "classes",
    "lambd": "by",
    "out_channels": "channels",
    "filters": "channels",
    "kernel_size": "kernel",
    "pool_size": "kernel",
    "strides": "stride",
    "padding": "pad",
    "dilation_rate": "dilation",
    "use_bias": "bias",
    "kernel_initializer": "weight_init",
    "bias_initializer": "bias_init",
    "padding_mode": "pad_mode",
    "output_padding": "output_pad",
    "divisor_override": "divisor",
    "count_include_pad": "count_pad",
    "ceil_mode": "ceil",
    "output_size": "size",
    "scale_factor": "scale",
    "upscale_factor": "r",
    "downscale_factor": "r",
    "num_groups": "groups",
    "num_heads": "heads",
    "num_kv_heads": "key_heads",
    "is_causal": "causal",
    "attn_mask": "mask",
    "dropout_p": "dropout",
    "drop_prob": "p",
    "rate": "p",
    "hidden_size": "units",
}
"""Settings by their other names."""

ELSEWHERE = {
    "activation": "an activation is a stage of its own: `… -> relu`",
    "in_channels": "how many channels come in follows from what arrives",
    "in_features": "how many features come in follows from what arrives",
    "num_features": "how many features come in follows from what arrives",
    "input_shape": "shapes follow from the input of the net",
    "data_format": "channels are axis 1, as in PyTorch",
    "size": "`resize([H, W])` scales to a size",
    "num_layers": "layers are stages: `lstm(n) -> lstm(n)`, or `repeat 2 { lstm(n) }`",
    "track_running_stats": "running statistics are those of `batch_norm`; no other norm has them",
    "depth_multiplier": "give all channels: `conv(2*C, 3, groups=C)` makes two of each",
    "batch_first": "axes are batch, time, features",
    "inplace": "values never change: leave it out",
}
"""Settings that nothing here has, and what takes their place."""

VALUES = {
    ("pad", "valid"): "pad=0 pads nothing",
    ("mode", "linear"): "mode=bilinear is for one axis or three, too",
    ("mode", "trilinear"): "mode=bilinear is for one axis or three, too",
    ("mode", "cubic"): "mode=bicubic is for any number of axes",
    ("mode", "area"): "adaptive_avg_pool averages areas",
}
"""Words that a setting has elsewhere."""


def operation_hint(name: str, known: Collection[str]) -> str | None:
    """What an operation of that name is called here, if `known` has it."""
    if name.lower() in WITH_AXIS:
        return WITH_AXIS[name.lower()]
    own = {each.replace("_", ""): each for each in known}
    bare = _bare(name)
    found = WITH_AXES.get(name.lower()) or BARE.get(bare) or own.get(bare)
    return f"it is called `{found}` here" if found in known else WHOLE.get(bare)


def setting_hint(name: str, own: Collection[str]) -> str | None:
    """What a setting is called here, or what takes its place; `own` are those of the operation."""
    if SETTINGS.get(name) in own:
        return f"it is called `{SETTINGS[name]}` here"
    return ELSEWHERE.get(name)


def value_hint(setting: str, word: str) -> str | None:
    """What to write for a word that other libraries know."""
    return VALUES.get((setting, word))


def _bare(name: str) -> str:
    """`MaxPooling2D` and `max_pooling` alike."""
    text = name.lower().replace("_", "")
    return text[:-2] if text[-2:] in ("1d", "2d", "3d") else text


BARE = {_bare(name): here for name, here in OPERATIONS.items()}
WHOLE = {_bare(name): way for name, way in WRITTEN_OUT.items()}
