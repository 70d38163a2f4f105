"""The engine of the native target: entries of one C library, called through ctypes."""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiler.artifact import OPERATORS, Artifact, Buffer, Entry, Expression, Port, evaluate
from ..spec.errors import DataError, InternalError
from .engine import Result
from .native import arena, build, load
from .threads import Tuner

Array = NDArray[Any]

DTYPES = {"f32": np.float32, "f64": np.float64, "i32": np.int32, "i64": np.int64, "bool": np.bool_}
MAX_THREADS = 16


class _Call(ctypes.Structure):
    """`weft_call` of the generated C."""

    _fields_ = (
        ("inputs", ctypes.c_void_p),
        ("outputs", ctypes.c_void_p),
        ("parameter", ctypes.c_void_p),
        ("gradient", ctypes.c_void_p),
        ("state", ctypes.c_void_p),
        ("workspace", ctypes.c_void_p),
        ("sizes", ctypes.c_void_p),
        ("scalars", ctypes.c_void_p),
        ("seed", ctypes.c_uint32),
        ("step", ctypes.c_uint32),
        ("threads", ctypes.c_int32),
    )


def bind_sizes(entry: Entry, inputs: Mapping[str, Array]) -> dict[str, int]:
    """The symbolic sizes that the shapes of the inputs give.

    Raises: DataError when an input is missing, or has another type or shape than the spec says.
    """
    sizes: dict[str, int] = {}
    for port in entry.inputs:
        if port.name not in inputs:
            raise DataError(f"`{entry.subject}` needs the input `{port.name}`", hint=_inputs_hint(entry))
        _check(entry, port, inputs[port.name], sizes)
    return sizes


def _inputs_hint(entry: Entry) -> str:
    return "inputs: " + ", ".join(f"{p.name}: {p.dtype}{list(p.shape)}" for p in entry.inputs)


def _check(entry: Entry, port: Port, array: Array, sizes: dict[str, int]) -> None:
    wrong = len(array.shape) != len(port.shape)
    for extent, want in zip(array.shape, port.shape, strict=False):
        if isinstance(want, str):
            wrong |= sizes.setdefault(want, extent) != extent
        else:
            wrong |= evaluate(want, sizes) != extent
    if wrong or array.dtype != DTYPES[port.dtype]:
        shape = ", ".join(map(str, port.shape))
        raise DataError(
            f"input `{port.name}` of `{entry.subject}` must be {port.dtype}[{shape}], got {array.dtype}{list(array.shape)}",
            hint=_inputs_hint(entry),
        )


def compiled(expression: Expression) -> Callable[[float, int], float]:
    """A scalar's expression as a function of rate and step; what depends on neither is computed now."""
    if isinstance(expression, str):
        return (lambda rate, step: rate) if expression == "rate" else (lambda rate, step: step)
    if not isinstance(expression, tuple):
        return lambda rate, step: expression
    operation = OPERATORS[expression[0]]
    operands = tuple(compiled(o) for o in expression[1:])
    if len(operands) == 2:
        left, right = operands
        return lambda rate, step: operation(left(rate, step), right(rate, step))
    return lambda rate, step: operation(*(o(rate, step) for o in operands))


class _Bound:
    """One entry with its call record, workspace and outputs, kept from call to call."""

    def __init__(self, engine: NativeEngine, entry: Entry, function: Any) -> None:
        self.entry = entry
        self.function = function
        self.engine = engine
        self.call = _Call()
        self.names = tuple(port.name for port in entry.inputs)
        self.last: tuple[Array | None, ...] = (None,) * len(self.names)
        self.formulas = tuple(compiled(scalar.value) for scalar in entry.scalars)
        self.pointers = (ctypes.c_void_p * max(1, len(entry.inputs)))()
        self.out_pointers = (ctypes.c_void_p * max(1, len(entry.outputs)))()
        self.sizes = (ctypes.c_int64 * max(1, len(entry.sizes)))()
        self.scalars = (ctypes.c_float * max(1, len(entry.scalars)))()
        self.bound: dict[str, int] = {}
        self.outputs: dict[str, Array] = {}
        self.workspace: Array = np.zeros(0, np.float32)
        call = self.call
        call.inputs = ctypes.addressof(self.pointers)
        call.outputs = ctypes.addressof(self.out_pointers)
        call.sizes = ctypes.addressof(self.sizes)
        call.scalars = ctypes.addressof(self.scalars)
        call.parameter = engine.parameters.ctypes.data
        call.gradient = engine.gradients.ctypes.data
        call.state = ctypes.addressof(engine.state_pointers)
        self.tuner = Tuner(engine.threads)
        self.reference = ctypes.byref(call)
        if not entry.inputs:
            self._fit({})

    def run(self, inputs: Mapping[str, Array], seed: int, step: int) -> int:
        """Call the entry; inputs that are the same arrays as last time are not looked at again."""
        for name, last in zip(self.names, self.last, strict=True):
            if last is None or inputs.get(name) is not last:
                self._rebind(inputs)
                break
        call = self.call
        call.seed = seed & 0xFFFFFFFF
        call.step = step & 0xFFFFFFFF
        call.threads = self.tuner.threads
        return self.tuner.run(self._invoke)

    def _invoke(self) -> int:
        return int(self.function(self.reference))

    def _rebind(self, inputs: Mapping[str, Array]) -> None:
        sizes = bind_sizes(self.entry, inputs)
        given = tuple(inputs[name] for name in self.names)
        self._kept = tuple(np.ascontiguousarray(array) for array in given)
        for k, array in enumerate(self._kept):
            self.pointers[k] = array.ctypes.data
        self.last = tuple(a if a is b else None for a, b in zip(given, self._kept, strict=True))
        if sizes != self.bound:
            self._fit(sizes)

    def scale(self, rate: float, index: int) -> None:
        """The host-side numbers of update `index` (from 0)."""
        for k, formula in enumerate(self.formulas):
            self.scalars[k] = formula(rate, index + 1)

    def values(self) -> dict[str, float]:
        """All outputs, which are single numbers."""
        return {name: array.item() for name, array in self.outputs.items()}

    def _fit(self, sizes: dict[str, int]) -> None:
        """Workspace and outputs for new sizes."""
        entry = self.entry
        for k, name in enumerate(entry.sizes):
            if name not in sizes:
                raise InternalError(f"no input of {entry.name} gives the size {name}")
            self.sizes[k] = sizes[name]
        needed = math.ceil(evaluate(entry.workspace, {**sizes, "threads": self.engine.threads}) / 4)
        if needed > self.workspace.size:
            self.workspace = arena(needed)
            self.call.workspace = self.workspace.ctypes.data
        for k, port in enumerate(entry.outputs):
            shape = tuple(evaluate(extent, sizes) for extent in port.shape)
            self.outputs[port.name] = np.zeros(shape, DTYPES[port.dtype])
            self.out_pointers[k] = self.outputs[port.name].ctypes.data
        self.bound = sizes
        self.tuner.restart()


class NativeEngine:
    """Runs an artifact compiled for the CPU.  Implements `runtime.engine.Engine`."""

    def __init__(self, artifact: Artifact, *, threads: int | None = None, progress: Any = None) -> None:
        self.artifact = artifact
        self.threads = min(threads or len(os.sched_getaffinity(0)), MAX_THREADS)
        self.parameters = arena(max(1, artifact.length))
        self.gradients = arena(max(1, artifact.length))
        self.states = {(s.step, s.name): arena(max(1, artifact.length)) for s in artifact.states}
        self.parameters[:] = 0.0
        self.gradients[:] = 0.0
        self.state_pointers = (ctypes.c_void_p * max(1, len(artifact.states)))()
        for k, state in enumerate(artifact.states):
            self.states[state.step, state.name][:] = state.initial
            self.state_pointers[k] = self.states[state.step, state.name].ctypes.data
        self._library = load(build(artifact.files["kernels.c"], progress=progress))
        self._entries: dict[tuple[str, str], _Bound] = {}

    def _entry(self, kind: str, subject: str) -> _Bound:
        key = kind, subject
        if key not in self._entries:
            entry = self.artifact.entry(kind, subject)
            function = getattr(self._library, entry.symbol)
            function.restype = ctypes.c_int
            function.argtypes = (ctypes.c_void_p,)
            self._entries[key] = _Bound(self, entry, function)
        return self._entries[key]

    def train(self, step: str, inputs: Mapping[str, Array], *, rate: float, index: int, seed: int) -> Result:
        """Forward, backward, clip and update on one batch, in one call."""
        bound = self._entry("train", step)
        bound.scale(rate, index)
        bound.run(inputs, seed, index)
        values = bound.values()
        norm = values.pop("gradient_norm_squared")
        return Result(values, math.isfinite(norm + values["loss"]))

    def gradient(
        self, step: str, inputs: Mapping[str, Array], *, index: int, seed: int
    ) -> tuple[Result, NDArray[np.float32]]:
        """The loss, and the gradient arena, which the next call overwrites."""
        bound = self._entry("gradient", step)
        bound.run(inputs, seed, index)
        return _result(bound), self.gradients

    def update(self, step: str, gradient: NDArray[np.float32], *, rate: float, index: int) -> None:
        """Clip and update with a gradient computed before; one that is not finite changes nothing."""
        bound = self._entry("update", step)
        if gradient is not self.gradients:
            np.copyto(self.gradients, gradient)
        bound.scale(rate, index)
        bound.run({}, 0, index)

    def evaluate(self, step: str, inputs: Mapping[str, Array], *, index: int, seed: int) -> Result:
        """The loss and the metrics as in use."""
        bound = self._entry("evaluate", step)
        bound.run(inputs, seed, index)
        return _result(bound)

    def call(
        self, kind: str, subject: str, inputs: Mapping[str, Array], *, seed: int, index: int
    ) -> dict[str, Array]:
        """Any entry: copies of its outputs."""
        bound = self._entry(kind, subject)
        bound.run(inputs, seed, index)
        return {name: array.copy() for name, array in bound.outputs.items()}

    def forward(self, net: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs of a net, as in use."""
        return self.call("forward", net, inputs, seed=0, index=0)

    def probe(
        self, step: str, inputs: Mapping[str, Array], *, index: int, seed: int
    ) -> list[tuple[Buffer, Array]]:
        """Every stored value of a training step, in the order in which they are computed."""
        bound = self._entry("probe", step)
        bound.run(inputs, seed, index)
        spaces = {"workspace": bound.workspace, "gradient": self.gradients}
        found = []
        for buffer in bound.entry.buffers:
            shape = tuple(evaluate(extent, bound.bound) for extent in buffer.shape)
            if buffer.space == "output":
                found.append((buffer, bound.outputs[bound.entry.outputs[buffer.slot].name]))
            elif buffer.dtype in ("f32", "i32"):
                start = evaluate(buffer.offset, bound.bound) // 4
                strides = tuple(4 * evaluate(s, bound.bound) for s in buffer.strides)
                base: Array = spaces[buffer.space][start:].view(DTYPES[buffer.dtype])
                found.append((buffer, np.lib.stride_tricks.as_strided(base, shape, strides)))
        return found


def _result(bound: _Bound) -> Result:
    values = bound.values()
    return Result(values, math.isfinite(values.get("loss", 0.0)))
