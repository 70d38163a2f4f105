"""What a network has learnt, as pictures: `predict --activations` and `show --weights`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weft.cli.drawing.tiles import LINE, MARGIN, SMALL
from weft.compiler.build import elaborate
from weft.runtime.checkpoint import save
from weft.spec.load import load

pytest.importorskip("PIL.Image")

SPEC = """
block Twice(n) {
  conv(n, 3, pad=0) -> relu
}

net look {
  in image: f32[B, 1, 12, 12]
  image -> Twice(4) as body -> max_pool(2) as small -> dropout(0.5) -> conv(2, 3, pad=0)
    -> flatten -> linear(3) as logits
}
"""
FLAT = """
net flat {
  in image: f32[B, 64]
  image -> linear(5) -> relu -> linear(16) as code -> linear(7) -> linear(2) as y
}
net colour {
  in image: f32[B, 3, 6, 6]
  image -> conv(4, 3) -> branch { conv(2, 1) | flatten -> linear(2) -> unsqueeze(axis=2)
    -> unsqueeze(axis=3) } -> add as y
}
"""
GAP = 2


def checkpoint(spec: Path, path: Path) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    program = elaborate(load(str(spec)))
    tensors = {p.name: random.normal(size=p.shape).astype("f4") for p in program.parameters}
    save(path, tensors, {"data": [], "seed": 0})
    return tensors


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """`look.weft`, its checkpoint and three images, in the current folder; its parameters."""
    monkeypatch.chdir(tmp_path)
    Path("look.weft").write_text(SPEC)
    np.save("x.npy", np.random.default_rng(2).normal(size=(3, 1, 12, 12)).astype("f4"))
    return checkpoint(Path("look.weft"), Path("look.safetensors"))


def maps(weft: Any, *options: Any) -> Any:
    given = ("--checkpoint", "look.safetensors", "--target", "reference", "-o", "out")
    return weft("predict", "look.weft", "--input", "x.npy", *given, *options)


def expected(look: dict[str, np.ndarray]) -> np.ndarray:
    torch = pytest.importorskip("torch")
    weight, bias = (torch.tensor(look[f"look.body.conv.{n}"]) for n in ("weight", "bias"))
    return torch.nn.functional.conv2d(torch.tensor(np.load("x.npy")), weight, bias).numpy()


def picture(path: str) -> np.ndarray:
    image = pytest.importorskip("PIL.Image")
    return np.asarray(image.open(path), int)


def tile(drawn: np.ndarray, number: int, columns: int, side: int, scale: int) -> np.ndarray:
    """One tile of a sheet, a pixel for each element."""
    x = MARGIN + number % columns * (side * scale + GAP)
    y = MARGIN + LINE + number // columns * (side * scale + GAP + LINE)
    return drawn[y : y + side * scale : scale, x : x + side * scale : scale, 0]


def test_all_layers_that_are_pictures_are_drawn(weft: Any, look: Any) -> None:
    answer = maps(weft, "--activations", "--rows", "1")
    assert answer.code == 0, answer.err
    names = ["image", "body.conv", "body.relu", "small", "conv"]
    assert answer.out.split() == [f"out/{name}.png" for name in names]
    for row in answer.out.split():
        assert picture(row).ndim == 3


@pytest.mark.parametrize("scale", ["channel", "layer"])
def test_a_map_shows_the_values_of_its_channel(weft: Any, look: Any, scale: str) -> None:
    answer = maps(weft, "--activations", "body.conv", "--scale", scale, "--rows", "2")
    assert answer.out.split() == ["out/row_1/body.conv.png", "out/row_2/body.conv.png"], answer.err
    for row in (0, 1):
        values = expected(look)[row]
        drawn = picture(f"out/row_{row + 1}/body.conv.png")
        for channel in range(4):
            each = values if scale == "layer" else values[channel]
            wanted = (values[channel] - each.min()) / (each.max() - each.min()) * 255
            found = tile(drawn, channel, 2, 10, -(-SMALL // 10))
            assert np.abs(found - wanted).max() <= 0.51


def test_values_and_blocks(weft: Any, look: Any) -> None:
    answer = maps(weft, "--activations", "body", "logits", "look.body.conv", "--npy", "--json")
    assert answer.code == 0, answer.err
    files = json.loads(answer.out)["files"]
    assert files[-3:] == ["out/body.npy", "out/logits.npy", "out/body.conv.npy"]
    assert len(files) == 3 + 3 * 2  # both pictures for each input
    np.testing.assert_allclose(np.load("out/body.conv.npy"), expected(look), atol=1e-5)
    body = np.load("out/body.npy")
    np.testing.assert_allclose(body, np.maximum(expected(look), 0), atol=1e-5)
    assert np.load("out/logits.npy").shape == (3, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--activations", "bdy.conv"), "did you mean `body.conv`?"),
        (("--activations", "logits"), "`logits` gives f32[B, 3], which is no picture"),
        (("--activations", "logits"), "--npy writes the values of any layer"),
        (("--activations", "--rows", "0"), "--rows counts from 1"),
        (("--npy",), "--npy goes with --activations"),
        (("--activations", "--net", "lok"), "did you mean `look`?"),
    ],
)
def test_what_cannot_be_drawn(weft: Any, look: Any, options: Any, message: str) -> None:
    answer = maps(weft, *options)
    assert answer.code == 2
    assert message in answer.err


def test_drawing_needs_pillow(weft: Any, look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    answer = maps(weft, "--activations")
    assert answer.code == 1
    assert "needs Pillow" in answer.err and "pip install pillow" in answer.err


def test_a_net_without_pictures(weft: Any, look: Any) -> None:
    Path("flat.weft").write_text("net f {\n  in x: f32[B, 4]\n  x -> relu as y\n}\n")
    np.save("x.npy", np.ones((2, 4), np.float32))
    options = ("--input", "x.npy", "--target", "reference", "-o", "out")
    answer = weft("predict", "flat.weft", *options, "--activations")
    assert answer.code == 2
    assert "no layer of `f` gives [batch, channel, row, column]" in answer.err
    answer = weft("predict", "flat.weft", *options, "--activations", "y", "--npy")
    assert answer.out.split() == ["out/y.npy"], answer.err


# ---- weights ---------------------------------------------------------------------------------


def test_filters_are_drawn(weft: Any, look: Any) -> None:
    answer = weft("show", "look.weft", "--weights", "--checkpoint", "look.safetensors", "-o", "w")
    assert answer.code == 0, answer.err
    assert answer.out.split() == ["w/body.conv.weight.png", "w/conv.weight.png"]
    values = look["look.body.conv.weight"]
    reach = np.abs(values).max()
    for k in range(4):
        wanted = (values[k, 0] / reach + 1) / 2 * 255
        found = tile(picture("w/body.conv.weight.png"), k, 2, 3, SMALL // 3)
        assert np.abs(found - wanted).max() <= 0.51
    values = look["look.conv.weight"]  # a row for each filter, a column for each channel
    wanted = (values[1, 2] / np.abs(values).max() + 1) / 2 * 255
    found = tile(picture("w/conv.weight.png"), 4 + 2, 4, 3, SMALL // 3)
    assert np.abs(found - wanted).max() <= 0.51


def test_layers_that_read_images_and_colours(weft: Any, look: Any) -> None:
    Path("flat.weft").write_text(FLAT)
    tensors = checkpoint(Path("flat.weft"), Path("flat.safetensors"))
    call = ("show", "flat.weft", "--checkpoint", "flat.safetensors", "-o", "w", "--weights")
    answer = weft(*call)
    assert answer.out.split() == [
        "w/flat.linear.weight.png",
        "w/colour.conv.weight.png",
    ], answer.err
    values = tensors["flat.linear.weight"]
    wanted = (values[0].reshape(8, 8) / np.abs(values).max() + 1) / 2 * 255
    found = tile(picture("w/flat.linear.weight.png"), 0, 5, 8, SMALL // 8)
    assert np.abs(found - wanted).max() <= 0.51
    values = tensors["colour.conv.weight"]
    wanted = (values[0] / np.abs(values).max() + 1) / 2 * 255
    drawn = picture("w/colour.conv.weight.png")
    place = MARGIN + LINE + SMALL // 3, MARGIN + SMALL // 3
    assert np.abs(drawn[place] - wanted[:, 1, 1]).max() <= 0.51
    named = ("flat.linear_2", "flat.code.weight")
    answer = weft(*call, *named)
    assert answer.code == 2 and "its 7 inputs" not in answer.out
    answer = weft(*call, named[0])
    assert answer.out.split() == ["w/flat.linear_2.weight.png"], "16 numbers are 4 x 4"
    answer = weft(*call, "conv_2", "--net", "colour")
    assert answer.out.split() == ["w/conv_2.weight.png"], answer.err


RUN = ("--checkpoint", "look.safetensors", "-o", "w")


@pytest.mark.parametrize(
    ("options", "message", "code"),
    [
        ((*RUN[:2], "--weights"), "--weights needs a folder", 2),
        ((*RUN, "--weights", "bdy.conv"), "did you mean `body.conv`?", 2),
        ((*RUN, "--weights", "logits"), "is no picture", 2),
        (("--checkpoint", "nowhere", "-o", "w", "--weights"), "no checkpoint in `nowhere`", 2),
        (("-o", "w", "--weights"), "no checkpoint in `runs/look`", 2),
        (
            ("--checkpoint", "other.safetensors", "-o", "w", "--weights"),
            "belongs to another network",
            1,
        ),
        ((*RUN, "--weights", "--net", "lok"), "did you mean `look`?", 2),
        ((*RUN, "--weights", "--ema"), "the checkpoint has no average of the weights", 2),
        (RUN, "--checkpoint and --ema go with --weights", 2),
        (("-o", "w", "--weights", "runs/look"), "named by --checkpoint runs/look", 2),
        (("-o", "w", "--weights", "look.safetensors"), "named by --checkpoint look.safetens", 2),
    ],
)
def test_weights_that_cannot_be_drawn(
    weft: Any, look: Any, options: Any, message: str, code: int
) -> None:
    Path("flat.weft").write_text(FLAT)
    checkpoint(Path("flat.weft"), Path("other.safetensors"))
    answer = weft("show", "look.weft", *options)
    assert (answer.code, message in answer.err) == (code, True), answer.err


def test_the_average_is_drawn_where_there_is_one(weft: Any, look: Any) -> None:
    """As predictions use it; `--no-ema` draws the weights themselves."""
    plain = {name: values for name, values in look.items() if "/" not in name}
    name = "look.body.conv.weight"
    average = np.roll(plain[name], 1, axis=0)
    save(
        Path("ema.safetensors"),
        {**plain, f"optimizer/main/ema/{name}": average},
        {"data": [], "seed": 0},
    )
    call = ("show", "look.weft", "--checkpoint", "ema.safetensors", "-o", "w")
    for values, options in ((average, ()), (plain[name], ("--no-ema",))):
        assert weft(*call, *options, "--weights", "body.conv").code == 0
        wanted = (values[1, 0] / np.abs(values).max() + 1) / 2 * 255
        found = tile(picture("w/body.conv.weight.png"), 1, 2, 3, SMALL // 3)
        assert np.abs(found - wanted).max() <= 0.51


def test_a_net_without_filters(weft: Any, look: Any) -> None:
    Path("bare.weft").write_text("net bare {\n  in x: f32[B, 6]\n  x -> linear(2) as y\n}\n")
    checkpoint(Path("bare.weft"), Path("bare.safetensors"))
    answer = weft("show", "bare.weft", "--weights", "--checkpoint", "bare.safetensors", "-o", "w")
    assert answer.code == 2 and "there are no filters to draw" in answer.err
