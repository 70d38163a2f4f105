"""The engine that runs an artifact's launch lists: on a GPU, or in Triton's interpreter.

An argument of a launch is a buffer's name, `size:NAME`, `int:64`, `scalar:NAME`, `call:seed` or
`call:step` (pointers to uint32), or a pair `("size", Expression)`.

Everything a launch list reads lies in device memory that stays where it is: inputs, scalars, the
seed and the step too, so the same prepared list (on a GPU: the same CUDA graph) serves every step.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from ..compiler.artifact import ITEM_BYTES, evaluate
from ..spec.errors import InternalError
from .engine import Result
from .launch import NUMPY_TYPES, Argument, Launch, Pointer
from .native_engine import bind_sizes
from .triton_loader import Device, open_device

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..compiler.artifact import Artifact, Buffer, Entry, State
    from .engine import Floats, Inputs

CALL = {"seed": Pointer("call", 0, "u32"), "step": Pointer("call", 4, "u32")}


class Mirror:
    """A float32 arena on the device as the host sees it.

    Reading it fetches what the device has changed; what was read may be written to, so it is sent
    back before the next call.
    """

    def __init__(self, device: Device, name: str, length: int, start: float = 0.0) -> None:
        device.arena(name, 4 * length)
        self._device = device
        self._place = Pointer(name, 0, "f32")
        self._shape = (length,)
        view = device.view(self._place, self._shape)
        self._direct = view is not None
        self._host: Floats = np.zeros(length, np.float32) if view is None else view
        self._host[:] = start
        self._lent = True
        self._stale = False

    def lend(self) -> Floats:
        """The host's array, up to date."""
        if self._stale:
            self._host[:] = self._device.read(self._place, self._shape)
            self._stale = False
        self._lent = True
        return self._host

    def send(self) -> None:
        """Makes the device's arena what the host may have written."""
        if self._lent and not self._direct:
            self._device.write(self._place, self._host)
            self._lent = False

    def changed(self) -> None:
        """The device has written to the arena."""
        self._stale = not self._direct


class _States(Mapping[tuple[str, str], "Floats"]):
    """Optimizer states by (step, name), fetched when they are read."""

    def __init__(self, mirrors: dict[tuple[str, str], Mirror]) -> None:
        self.mirrors = mirrors

    def __getitem__(self, key: tuple[str, str]) -> Floats:
        return self.mirrors[key].lend()

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.mirrors)

    def __len__(self) -> int:
        return len(self.mirrors)


@dataclass(frozen=True, slots=True)
class _Call:
    """One call under way: its entry and what its sizes are."""

    entry: Entry
    sizes: dict[str, int]

    @property
    def key(self) -> Hashable:
        return (self.entry.name, *sorted(self.sizes.items()))

    def shape(self, dims: tuple[Any, ...]) -> tuple[int, ...]:
        return tuple(int(evaluate(dim, self.sizes)) for dim in dims)


class TritonEngine:
    """A loaded artifact whose kernels are Triton; see `Engine` for what the methods mean."""

    def __init__(self, artifact: Artifact, device: str = "interpret") -> None:
        modules = [text for name, text in artifact.files.items() if name.endswith(".py")]
        if len(modules) != 1:
            raise InternalError(f"a Triton artifact has one module, this one {len(modules)}")
        self.artifact = artifact
        self.device = open_device(device, modules[0])
        self.device.arena("call", 16)
        length = artifact.length
        self._parameters = Mirror(self.device, "parameter", length)
        self._gradient = Mirror(self.device, "gradient", length)
        self._states = {
            (s.step, s.name): Mirror(self.device, _state(s), length, s.initial)
            for s in artifact.states
        }
        self.states = _States(self._states)
        self._prepared: set[Hashable] = set()

    @property
    def parameters(self) -> Floats:
        """The flat parameter arena."""
        return self._parameters.lend()

    def train(self, step: str, inputs: Inputs, *, rate: float, index: int, seed: int) -> Result:
        """Forward, backward, clip and update on one batch."""
        call = self._run("train", step, inputs, rate=rate, index=index, seed=seed)
        self._updated(step)
        return self._result(call)

    def gradient(
        self, step: str, inputs: Inputs, *, index: int, seed: int
    ) -> tuple[Result, Floats]:
        """The loss and the gradient arena; nothing is updated."""
        call = self._run("gradient", step, inputs, index=index, seed=seed)
        self._gradient.changed()
        return self._result(call), self._gradient.lend().copy()

    def update(self, step: str, gradient: Floats, *, rate: float, index: int) -> None:
        """Clip and update with a gradient that was computed before."""
        self._gradient.lend()[:] = gradient
        self._run("update", step, {}, rate=rate, index=index)
        self._updated(step)

    def evaluate(self, step: str, inputs: Inputs, *, index: int, seed: int) -> Result:
        """The loss and the metrics as in use: without dropout, nothing is updated."""
        return self._result(self._run("evaluate", step, inputs, index=index, seed=seed))

    def forward(self, net: str, inputs: Inputs) -> dict[str, NDArray[Any]]:
        """The outputs of a net, as in use."""
        return self.call("forward", net, inputs, seed=0, index=0)

    def call(
        self, kind: str, subject: str, inputs: Inputs, *, seed: int, index: int
    ) -> dict[str, NDArray[Any]]:
        """Any entry: copies of its outputs."""
        call = self._run(kind, subject, inputs, index=index, seed=seed)
        return {port.name: self._output(call, i) for i, port in enumerate(call.entry.outputs)}

    def probe(
        self, step: str, inputs: Inputs, *, index: int, seed: int
    ) -> list[tuple[Buffer, NDArray[Any]]]:
        """Every value of a training step, in the order in which they are computed."""
        call = self._run("probe", step, inputs, index=index, seed=seed)
        return [
            (buffer, self._values(call, buffer))
            for buffer in call.entry.buffers
            if buffer.dtype in NUMPY_TYPES
        ]

    def close(self) -> None:
        """Gives the device back."""
        self.device.close()

    # ---- one call --------------------------------------------------------------------------------

    def _run(
        self,
        kind: str,
        subject: str,
        inputs: Inputs,
        *,
        rate: float = 0.0,
        index: int = 0,
        seed: int = 0,
    ) -> _Call:
        entry = self.artifact.entry(kind, subject)
        call = _Call(entry, bind_sizes(entry, inputs))
        self._arenas(call)
        if call.key not in self._prepared:
            self.device.prepare(call.key, list(self._launches(call)))
            self._prepared.add(call.key)
        for mirror in (self._parameters, self._gradient, *self._states.values()):
            mirror.send()
        for i, port in enumerate(entry.inputs):
            values = np.asarray(inputs[port.name])
            self.device.write(Pointer(_port(entry, "input", i), 0, port.dtype), values)
        known = {"rate": rate, "step": index + 1}
        scalars = [evaluate(scalar.value, known) for scalar in entry.scalars]
        if scalars:
            place = Pointer(f"scalars {entry.name}", 0, "f32")
            self.device.write(place, np.array(scalars, np.float32))
        words = [seed & 0xFFFFFFFF, index & 0xFFFFFFFF]
        self.device.write(CALL["seed"], np.array(words, np.uint32))
        self.device.run(call.key)
        return call

    def _updated(self, step: str) -> None:
        self._parameters.changed()
        self._gradient.changed()
        for (owner, _), mirror in self._states.items():
            if owner == step:
                mirror.changed()

    def _result(self, call: _Call) -> Result:
        values = {
            port.name: float(self._output(call, i).reshape(-1)[0])
            for i, port in enumerate(call.entry.outputs)
        }
        norm = values.pop("gradient_norm_squared", 0.0)
        return Result(values, math.isfinite(norm + values.get("loss", 0.0)))

    def _output(self, call: _Call, slot: int) -> NDArray[Any]:
        port = call.entry.outputs[slot]
        place = Pointer(_port(call.entry, "output", slot), 0, port.dtype)
        return self.device.read(place, call.shape(port.shape))

    def _values(self, call: _Call, buffer: Buffer) -> NDArray[Any]:
        """A buffer's values, whatever its layout."""
        shape, strides = call.shape(buffer.shape), call.shape(buffer.strides)
        span = 1 + sum((e - 1) * s for e, s in zip(shape, strides, strict=True))
        flat = self.device.read(self._place(call, buffer), (span if 0 not in shape else 0,))
        steps = [stride * flat.itemsize for stride in strides]
        return np.lib.stride_tricks.as_strided(flat, shape, steps)

    # ---- memory and launches ---------------------------------------------------------------------

    def _arenas(self, call: _Call) -> None:
        """Makes room for the call; when something moves, all launches are prepared anew."""
        entry = call.entry
        wanted = {f"scalars {entry.name}": 4 * len(entry.scalars)}
        for kind, ports in (("input", entry.inputs), ("output", entry.outputs)):
            for i, port in enumerate(ports):
                count = int(np.prod(call.shape(port.shape), dtype=np.int64))
                wanted[_port(entry, kind, i)] = count * ITEM_BYTES[port.dtype]
        wanted["workspace"] = int(evaluate(entry.workspace, call.sizes))
        for name, size in wanted.items():
            if self.device.arena(name, size):
                self._prepared.clear()

    def _launches(self, call: _Call) -> Iterator[Launch]:
        """All launches of a call, those of loops as often as these turn."""
        buffers = {buffer.name: buffer for buffer in call.entry.buffers}
        for loop, some in groupby(call.entry.launches, lambda launch: launch.loop):
            launches = list(some)
            times = int(evaluate(launches[0].times, call.sizes)) if loop else 1
            turns = range(times)[:: -1 if launches[0].reverse else 1]
            for turn in turns:
                for launch in launches:
                    yield self._launch(call, buffers, launch, turn)

    def _launch(self, call: _Call, buffers: dict[str, Buffer], launch: Any, turn: int) -> Launch:
        return Launch(
            launch.kernel,
            call.shape(launch.grid),
            tuple(self._argument(call, buffers, each, turn) for each in launch.arguments),
            dict(launch.constants),
            launch.warps,
            launch.stages,
            launch.alone,
        )

    def _argument(
        self, call: _Call, buffers: dict[str, Buffer], argument: Any, turn: int
    ) -> Argument:
        if isinstance(argument, tuple) and argument[0] == "at":
            place = self._place(call, buffers[argument[1]])
            step = int(evaluate(argument[2], call.sizes)) * ITEM_BYTES[place.dtype]
            return replace(place, offset=place.offset + turn * step)
        if isinstance(argument, tuple):
            return int(evaluate(argument[1], call.sizes))
        if argument in buffers:
            return self._place(call, buffers[argument])
        kind, _, name = argument.partition(":")
        if kind == "size":
            return call.sizes[name]
        if kind == "int":
            return int(name)
        if kind == "scalar":
            slot = [scalar.name for scalar in call.entry.scalars].index(name)
            return Pointer(f"scalars {call.entry.name}", 4 * slot, "f32")
        if kind == "call":
            return CALL[name]
        raise InternalError(f"{call.entry.name}: no buffer `{argument}`")

    def _place(self, call: _Call, buffer: Buffer) -> Pointer:
        names = {
            "input": lambda: _port(call.entry, "input", buffer.slot),
            "output": lambda: _port(call.entry, "output", buffer.slot),
            "scalar": lambda: f"scalars {call.entry.name}",
            "state": lambda: _state(self.artifact.states[buffer.slot]),
        }
        arena = names.get(buffer.space, lambda: buffer.space)()
        offset = int(evaluate(buffer.offset, call.sizes))
        offset += 4 * buffer.slot if buffer.space == "scalar" else 0
        return Pointer(arena, offset, buffer.dtype)


def _state(state: State) -> str:
    return f"state {state.step} {state.name}"


def _port(entry: Entry, kind: str, slot: int) -> str:
    return f"{kind} {slot} {entry.name}"
