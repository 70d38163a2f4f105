"""Single convolutions of ResNet-50, forward and both adjoints, against those of torch: cuDNN on a
GPU, oneDNN on a CPU.

    python benchmarks/convolutions.py [--device cuda|cpu|interpret] [--batch 32] [--quick]

Each is a graph of its own, so nothing rides in a kernel: what is timed is the convolution alone,
channels last on both sides. In a network normalisation, activation, bias and sums ride in weft's
kernels; torch's convolutions need launches of their own for those. On a GPU products are tf32 on
both sides, and cuDNN tries its algorithms first. Results are compared before they are timed.
`interpret` runs weft's kernels in Triton's interpreter on tiny images, once, to see that they are
right.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from weft.compiler.arena import Arena
from weft.compiler.artifact import Artifact
from weft.compiler.entries import EntryGraph, own_memory, port
from weft.compiler.gpu import emit_gpu
from weft.compiler.ir.builder import Builder
from weft.compiler.ir.graph import Graph
from weft.compiler.ir.types import TensorType
from weft.compiler.native import emit_native
from weft.compiler.ops import new_builder
from weft.compiler.passes.differentiate import differentiate
from weft.runtime.gate import gated
from weft.runtime.machine import cpu
from weft.runtime.native_engine import NativeEngine
from weft.runtime.triton_engine import TritonEngine
from weft.spec.dims import symbol

KINDS = ("forward", "data", "weight")
ROUNDS, SECONDS = 5, 0.2
CLOSE = {"cpu": 1e-4, "interpret": 1e-4, "cuda": 2e-2}
"""Of the largest element: tf32 keeps ten bits of a factor."""


@dataclass(frozen=True)
class Layer:
    """`times` as often in ResNet-50; images are square, kernels too, padded to keep their size."""

    inputs: int
    outputs: int
    size: int
    kernel: int
    stride: int
    times: int

    @property
    def made(self) -> int:
        return (self.size - 1) // self.stride + 1

    @property
    def pad(self) -> tuple[int, int]:
        """Before and after: a stride of 2 over an even size needs one column less behind."""
        return self.kernel // 2, self.kernel // 2

    def __str__(self) -> str:
        return f"{self.kernel}x{self.kernel}/{self.stride} {self.inputs}-{self.outputs} {self.size}"


LAYERS = (
    Layer(3, 64, 224, 7, 2, 1),
    Layer(64, 64, 56, 1, 1, 1), Layer(64, 64, 56, 3, 1, 3), Layer(64, 256, 56, 1, 1, 4),
    Layer(256, 64, 56, 1, 1, 2), Layer(256, 128, 56, 1, 1, 1), Layer(128, 128, 56, 3, 2, 1),
    Layer(256, 512, 56, 1, 2, 1), Layer(128, 512, 28, 1, 1, 4), Layer(512, 128, 28, 1, 1, 3),
    Layer(128, 128, 28, 3, 1, 3), Layer(512, 256, 28, 1, 1, 1), Layer(256, 256, 28, 3, 2, 1),
    Layer(512, 1024, 28, 1, 2, 1), Layer(256, 1024, 14, 1, 1, 6), Layer(1024, 256, 14, 1, 1, 5),
    Layer(256, 256, 14, 3, 1, 5), Layer(1024, 512, 14, 1, 1, 1), Layer(512, 512, 14, 3, 2, 1),
    Layer(1024, 2048, 14, 1, 2, 1), Layer(512, 2048, 7, 1, 1, 3), Layer(2048, 512, 7, 1, 1, 2),
    Layer(512, 512, 7, 3, 1, 2),
)  # fmt: skip
TINY = (Layer(16, 24, 5, 3, 1, 1), Layer(16, 8, 6, 3, 2, 1), Layer(20, 33, 4, 1, 1, 1))


# ---- weft ----------------------------------------------------------------------------------------


def graph_of(layer: Layer, kind: str) -> Graph:
    """The convolution, or its adjoint in what it reads or in the weight."""
    b, batch = new_builder(), symbol("B")
    feed = lambda name, *shape: b.input(name, TensorType("f32", shape))  # noqa: E731
    x = feed("x", batch, layer.size, layer.size, layer.inputs)
    w = feed("w", layer.outputs, layer.inputs, layer.kernel, layer.kernel)
    y = _convolved(b, layer, x, w)
    if kind == "forward":
        b.outputs = own_memory(b, {kind: y})
        return b.graph()
    d = feed("d", batch, layer.made, layer.made, layer.outputs)
    wanted = x if kind == "data" else w
    total = b.sum(b.map("mul", y, d), range(4))
    b.outputs = own_memory(b, {kind: differentiate(b, total, [wanted])[wanted]})
    return b.graph()


def _convolved(b: Builder, layer: Layer, x: int, w: int) -> int:
    return b.insert(
        "convolve", (x, w), sizes=(layer.made,) * 2, stride=(layer.stride,) * 2,
        dilation=(1, 1), low=(layer.pad[0],) * 2, groups=1,
    )  # fmt: skip


def engine_of(layer: Layer, batch: int, device: str) -> NativeEngine | TritonEngine:
    """An engine with one entry for each kind."""
    sizes, entries = {"B": batch}, []
    for kind in KINDS:
        graph = graph_of(layer, kind)
        inputs = tuple(port(n["feed"], n.type) for n in graph.inputs())
        outputs = tuple(port(name, graph[i].type) for name, i in graph.outputs.items())
        entries.append(EntryGraph("forward", kind, graph, inputs, outputs, {}))

    def artifact(files: dict[str, str], records: Any, kernels: Any, target: str) -> Artifact:
        made = tuple(records), tuple(kernels)
        return Artifact("convolution", target, "f32", files, {}, (), 0, (), *made, sizes, None, {})

    if device == "cpu":
        files, records, kernels, _ = emit_native(entries, Arena({}, {}, 0), {}, sizes, "one")
        return NativeEngine(artifact(files, records, kernels, "cpu"))
    target = device
    if device == "cuda":
        target = "cuda:" + "".join(map(str, torch.cuda.get_device_capability()))

    def emitted(levels: Mapping[str, int]) -> Artifact:
        text, records, kernels, _ = emit_gpu(
            entries, Arena({}, {}, 0), {}, sizes, "one", target, levels
        )
        return artifact({"kernels.py": text}, records, kernels, target)

    found = emitted({}) if device == "interpret" else gated(emitted, target)[0]
    return TritonEngine(found, device)


def weft_call(engine: Any, kind: str, fed: Mapping[str, np.ndarray]) -> Callable[[], Any]:
    """One launch list, without copies from the host on a GPU."""
    entry = engine.artifact.entry("forward", kind)
    inputs = {p.name: fed[p.name] for p in entry.inputs}
    if isinstance(engine, NativeEngine):
        return lambda: engine.forward(kind, inputs)
    key = engine._run("forward", kind, inputs).key
    return lambda: engine.device.run(key)


# ---- torch ---------------------------------------------------------------------------------------


def torch_call(
    layer: Layer, kind: str, fed: Mapping[str, torch.Tensor]
) -> Callable[[], torch.Tensor]:
    """The same convolution in torch; tensors are channels last."""
    settings = [layer.stride] * 2, [layer.pad[0]] * 2, [1, 1], False, [0, 0], 1
    x, w, d = fed["x"], fed["w"], fed["d"]
    if kind == "forward":
        return lambda: torch.ops.aten.convolution(x, w, None, *settings)
    mask = [kind == "data", kind == "weight", False]
    back = torch.ops.aten.convolution_backward
    return lambda: back(d, x, w, None, *settings, mask)[mask.index(True)]


def tensors(fed: Mapping[str, np.ndarray], device: str) -> dict[str, torch.Tensor]:
    """What torch reads: [batch, channels, height, width], channels last in memory."""
    place = "cuda" if device == "cuda" else "cpu"
    found = {name: torch.from_numpy(values).to(place) for name, values in fed.items()}
    for name in ("x", "d"):
        found[name] = found[name].permute(0, 3, 1, 2)
    return {name: t.contiguous(memory_format=torch.channels_last) for name, t in found.items()}


# ---- the report ----------------------------------------------------------------------------------


def milliseconds(call: Callable[[], Any], device: str, seconds: float) -> float:
    """The fastest of some rounds."""
    if device == "interpret":
        return float("nan")
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    for _ in range(3):
        call()
    wait()
    start = time.perf_counter()
    call()
    wait()
    count = max(1, int(seconds / max(1e-6, time.perf_counter() - start)))
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(count):
            call()
        wait()
        best = min(best, (time.perf_counter() - start) / count)
    return 1e3 * best


def agree(layer: Layer, kind: str, ours: np.ndarray, theirs: torch.Tensor, close: float) -> None:
    """Raises: SystemExit where the two differ."""
    other = theirs.float().cpu()
    exact = (other if kind == "weight" else other.permute(0, 2, 3, 1)).numpy()
    error = np.abs(ours - exact).max() / np.abs(exact).max()
    if not error <= close:
        raise SystemExit(f"{layer} {kind}: differs by {error:.1e} of the largest element")


def row(layer: Layer, batch: int, device: str, seconds: float) -> tuple[str, np.ndarray]:
    """The line of a layer, and the milliseconds of all of its kind: weft, torch."""
    rng = np.random.default_rng(0)
    shapes = {
        "x": (batch, layer.size, layer.size, layer.inputs),
        "w": (layer.outputs, layer.inputs, layer.kernel, layer.kernel),
        "d": (batch, layer.made, layer.made, layer.outputs),
    }
    fed = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    engine, known = engine_of(layer, batch, device), tensors(fed, device)
    cells, totals = [str(layer), str(layer.times)], np.zeros(2)
    for kind in KINDS:
        wanted = {p.name: fed[p.name] for p in engine.artifact.entry("forward", kind).inputs}
        theirs = torch_call(layer, kind, known)
        agree(layer, kind, engine.forward(kind, wanted)[kind], theirs(), CLOSE[device])
        calls = weft_call(engine, kind, fed), theirs
        times = np.array([milliseconds(call, device, seconds) for call in calls])
        totals += layer.times * times
        cells += [f"{times[0]:.3f}", f"{times[1]:.3f}", f"{times[1] / times[0]:.2f}"]
    return f"| {' | '.join(cells)} |", totals


def report(device: str, batch: int, *, quick: bool) -> str:
    """The whole report as Markdown."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    name = torch.cuda.get_device_name() if device == "cuda" else cpu().model
    library = f"cuDNN {torch.backends.cudnn.version()}" if device == "cuda" else "oneDNN"
    layers = TINY if device == "interpret" else LAYERS[1:6] if quick else LAYERS
    heads = [f"{kind}: weft | torch | torch / weft" for kind in KINDS]
    lines = [
        f"# Convolutions of ResNet-50, batch {batch}",
        "",
        f"{name}; Python {platform.python_version()}, torch {torch.__version__}, {library}; "
        f"{time.strftime('%Y-%m-%d')}; milliseconds, the fastest of {ROUNDS} rounds.",
        "",
        "| layer | in the net | " + " | ".join(heads) + " |",
        "|---" * (2 + 3 * len(KINDS)) + "|",
    ]
    together = np.zeros(2)
    for layer in layers:
        text, totals = row(layer, batch, device, SECONDS / 10 if quick else SECONDS)
        lines.append(text)
        together += totals
    lines += ["", f"All of them: weft {together[0]:.1f} ms, torch {together[1]:.1f} ms."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the report, and write it where `--out` says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    devices = ("cuda", "cpu", "interpret")
    found = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=devices, default=found)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--quick", action="store_true", help="a few layers, shorter")
    parser.add_argument("--out", type=Path, help="write the report to this file too")
    arguments = parser.parse_args()
    text = report(arguments.device, arguments.batch, quick=arguments.quick)
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
