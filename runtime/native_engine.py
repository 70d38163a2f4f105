"""The engine of the native target: entries of one C library, called through ctypes."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiler.artifact import THREADS, Artifact, Buffer, Entry, Need, Port, evaluate
from ..spec.errors import DataError, InternalError
from .engine import Result
from .machine import threads as usable_threads
from .native import arena, build, load
from .threads import Tuner

Array = NDArray[Any]

DTYPES = {"f32": np.float32, "f64": np.float64, "i32": np.int32, "i64": np.int64, "bool": np.bool_}
MAX_THREADS = 16
MAX_FITS = 64  # sets of sizes that an entry remembers
_NEVER = object()  # stands for no array: such an input is looked at in every call


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
        ("rate", ctypes.c_double),
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
            raise DataError(
                f"`{entry.subject}` needs the input `{port.name}`", hint=_inputs_hint(entry)
            )
        _check(entry, port, inputs[port.name], sizes)
        check_range(entry.subject, port, inputs[port.name])
    check_needs(entry.subject, entry.needs, sizes)
    return sizes


def check_needs(subject: str, needs: Iterable[Need], sizes: Mapping[str, int]) -> None:
    """Refuse sizes for which a net or step means nothing.

    Raises: DataError naming the condition and the sizes.
    """
    for need in needs:
        if evaluate(need.least, sizes) < 0:
            given = ", ".join(f"{name}={size}" for name, size in sizes.items())
            raise DataError(f"`{subject}` needs {need.text}, got {given}")


def check_range(subject: str, port: Port, array: Array) -> None:
    """Refuse whole numbers for which a table has no entry.

    Raises: DataError naming the first of them.
    """
    if port.below == 0 or array.size == 0:
        return
    if array.min() < 0 or array.max() >= port.below:
        wrong = array[(array < 0) | (array >= port.below)].flat[0]
        raise DataError(
            f"input `{port.name}` of `{subject}` holds {wrong}, it knows 0 to {port.below - 1}",
            hint="is it the vocabulary, or are they the classes, that the net was made for?",
        )


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
            f"input `{port.name}` of `{entry.subject}` must be {port.dtype}[{shape}], "
            f"got {array.dtype}{list(array.shape)}",
            hint=_inputs_hint(entry),
        )


def address(array: Array) -> int:
    """Where the elements of a contiguous array begin."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError):  # not writable, or empty
        return int(array.ctypes.data)


class _Fit:
    """What an entry needs for one set of sizes: outputs, their addresses, the number of threads.

    Outputs that are single numbers stand side by side, so that all are read at once.
    """

    def __init__(
        self, entry: Entry, sizes: Mapping[str, int], threads: int, *, fixed: bool
    ) -> None:
        shapes = [tuple(evaluate(extent, sizes) for extent in p.shape) for p in entry.outputs]
        plain = all(
            p.dtype == "f32" and s == () for p, s in zip(entry.outputs, shapes, strict=True)
        )
        self.numbers = np.zeros(len(shapes) if plain else 0, np.float32)
        self.outputs: dict[str, Array] = {
            port.name: self.numbers[k : k + 1].reshape(())
            if plain
            else np.zeros(shape, DTYPES[port.dtype])
            for k, (port, shape) in enumerate(zip(entry.outputs, shapes, strict=True))
        }
        self.pointers = (ctypes.c_void_p * max(1, len(shapes)))(
            *(array.ctypes.data for array in self.outputs.values())
        )
        self.sizes = (ctypes.c_int64 * max(1, len(entry.sizes)))(*(sizes[n] for n in entry.sizes))
        self.workspace = math.ceil(evaluate(entry.workspace, {**sizes, THREADS: threads}) / 4)
        self.tuner = Tuner(threads, fixed=fixed)
        self.bound = dict(sizes)


class _Bound:
    """One entry with its call record and workspace, kept from call to call."""

    def __init__(self, engine: NativeEngine, entry: Entry, function: Any) -> None:
        self.entry = entry
        self.function = function
        self.engine = engine
        self.call = _Call()
        self.pointers = (ctypes.c_void_p * max(1, len(entry.inputs)))()
        self.reported = tuple(port.name for port in entry.outputs)
        self.last: list[tuple[str, object]] = [(port.name, _NEVER) for port in entry.inputs]
        self.workspace: Array = np.zeros(0, np.float32)
        self._kept: list[Array] = []
        self._known: dict[tuple[Any, ...], _Fit] = {}
        self._shapes: tuple[Any, ...] | None = None
        call = self.call
        call.inputs = ctypes.addressof(self.pointers)
        call.parameter = engine.parameters.ctypes.data
        call.gradient = engine.gradients.ctypes.data
        call.state = ctypes.addressof(engine.state_pointers)
        self.reference = ctypes.addressof(call)
        if not entry.inputs:
            self._rebind({})

    @property
    def outputs(self) -> dict[str, Array]:
        """The outputs of the last call; the next one overwrites them."""
        return self.fit.outputs

    @property
    def bound(self) -> dict[str, int]:
        """The sizes of the last call."""
        return self.fit.bound

    def run(self, inputs: Mapping[str, Array], seed: int, step: int, rate: float = 0.0) -> int:
        """Call the entry; inputs that are the same arrays as last time are not looked at again."""
        for name, last in self.last:
            if inputs.get(name) is not last:
                self._rebind(inputs)
                break
        call, tuner = self.call, self.fit.tuner
        call.rate = rate
        call.seed = seed & 0xFFFFFFFF
        call.step = step & 0xFFFFFFFF
        call.threads = tuner.threads
        return tuner.run(self._invoke)

    def _invoke(self) -> int:
        return self.function(self.reference)

    def _rebind(self, inputs: Mapping[str, Array]) -> None:
        """Other arrays: most often of shapes that were seen before."""
        found = [inputs.get(port.name) for port in self.entry.inputs]
        given = [array for array in found if array is not None]
        shapes = tuple((array.shape, array.dtype) for array in given)
        if shapes != self._shapes or len(given) < len(found):
            self._fit(inputs, shapes)
        self._kept = [np.ascontiguousarray(array) for array in given]
        for k, (port, array, kept) in enumerate(
            zip(self.entry.inputs, given, self._kept, strict=True)
        ):
            check_range(self.entry.subject, port, kept)
            self.pointers[k] = address(kept)
            steady = array is kept and port.below == 0  # others are looked at each time
            self.last[k] = port.name, array if steady else _NEVER

    def _fit(self, inputs: Mapping[str, Array], shapes: tuple[Any, ...]) -> None:
        """Workspace and outputs for these shapes."""
        if shapes not in self._known or len(shapes) < len(self.entry.inputs):
            sizes = bind_sizes(self.entry, inputs)
            for name in self.entry.sizes:
                if name not in sizes:
                    raise InternalError(f"no input of {self.entry.name} gives the size {name}")
            if len(self._known) >= MAX_FITS:
                self._known.clear()
            engine = self.engine
            self._known[shapes] = _Fit(self.entry, sizes, engine.threads, fixed=engine.fixed)
        self.fit = self._known[shapes]
        self._shapes = shapes
        if self.fit.workspace > self.workspace.size:
            self.workspace = arena(self.fit.workspace)
            self.call.workspace = self.workspace.ctypes.data
        self.call.outputs = ctypes.addressof(self.fit.pointers)
        self.call.sizes = ctypes.addressof(self.fit.sizes)

    def values(self) -> dict[str, float]:
        """All outputs, which are single numbers."""
        return dict(zip(self.reported, self.fit.numbers.tolist(), strict=True))


class NativeEngine:
    """Runs an artifact compiled for the CPU.  Implements `runtime.engine.Engine`.

    `threads` asks for exactly so many; otherwise every entry finds out how many it is fastest with.
    """

    def __init__(
        self, artifact: Artifact, *, threads: int | None = None, progress: Any = None
    ) -> None:
        self.artifact = artifact
        self.threads = min(threads or usable_threads(), MAX_THREADS)
        self.fixed = threads is not None
        self.parameters = arena(max(1, artifact.length))
        self.gradients = arena(max(1, artifact.length))
        self.states = {(s.step, s.name): arena(max(1, artifact.length)) for s in artifact.states}
        self.parameters[:] = 0.0
        self.gradients[:] = 0.0
        self.state_pointers = (ctypes.c_void_p * max(1, len(artifact.states)))()
        for k, state in enumerate(artifact.states):
            self.states[state.step, state.name][:] = state.initial
            self.state_pointers[k] = self.states[state.step, state.name].ctypes.data
        self._progress = progress
        self._libraries: dict[str, ctypes.CDLL] = {}
        self._entries: dict[tuple[str, str], _Bound] = {}
        self._training: dict[str, _Bound] = {}

    def _library(self, symbol: str) -> ctypes.CDLL:
        """The library that defines a function, built when one of its functions is first called."""
        files = self.artifact.files
        sources = (n for n, text in files.items() if f"\nint {symbol}(const weft_call" in text)
        name = next(sources, None)
        if name is None:
            raise InternalError(f"no file of the artifact defines {symbol}")
        if name not in self._libraries:
            path = build(files[name], files=files, progress=self._progress)
            self._libraries[name] = load(path)
        return self._libraries[name]

    def _entry(self, kind: str, subject: str) -> _Bound:
        key = kind, subject
        if key not in self._entries:
            entry = self.artifact.entry(kind, subject)
            function = getattr(self._library(entry.symbol), entry.symbol)
            function.restype = ctypes.c_int
            function.argtypes = (ctypes.c_void_p,)
            self._entries[key] = _Bound(self, entry, function)
        return self._entries[key]

    def train(
        self, step: str, inputs: Mapping[str, Array], *, rate: float, index: int, seed: int
    ) -> Result:
        """Forward, backward, clip and update on one batch, in one call."""
        bound = self._training.get(step) or self._trained(step)
        bound.run(inputs, seed, index, rate)
        *numbers, norm = bound.fit.numbers.tolist()  # the loss first, then the metrics
        values = dict(zip(bound.reported, numbers, strict=False))
        return Result(values, math.isfinite(numbers[0] + norm))

    def _trained(self, step: str) -> _Bound:
        """The entry that trains, found without a search from the second call on."""
        return self._training.setdefault(step, self._entry("train", step))

    def gradient(
        self, step: str, inputs: Mapping[str, Array], *, index: int, seed: int
    ) -> tuple[Result, NDArray[np.float32]]:
        """The loss, and the gradient arena, which the next call overwrites."""
        bound = self._entry("gradient", step)
        bound.run(inputs, seed, index)
        return _result(bound), self.gradients

    def update(self, step: str, gradient: NDArray[np.float32], *, rate: float, index: int) -> None:
        """Clip and update with a gradient computed before; one that is not finite changes
        nothing.
        """
        bound = self._entry("update", step)
        if gradient is not self.gradients:
            np.copyto(self.gradients, gradient)
        bound.run({}, 0, index, rate)

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
