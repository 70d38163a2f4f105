"""A compiled net as a `torch.nn.Module` that works inside ordinary PyTorch code."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..compiler.compile import compile_native, lower_module
from ..compiler.ir.types import held
from ..spec.errors import UsageError
from .engine import parameter_view
from .native_engine import NativeEngine

if TYPE_CHECKING:
    from ..compiler.artifact import Entry, Parameter, Port
    from .program import CompiledProgram

TORCH = {
    "f32": torch.float32,
    "f64": torch.float64,
    "i32": torch.int32,
    "i64": torch.int64,
    "bool": torch.bool,
}


class CompiledNetwork(torch.nn.Module):
    """One net of a program.

    Its parameters are views of the program's arena under PyTorch's names and in PyTorch's layout,
    so that `state_dict`, optimizers of torch and in-place changes all act on the numbers that the
    kernels read. In training mode the gradient comes from the generated backward pass through one
    autograd function.
    """

    program: CompiledProgram

    def __init__(self, program: CompiledProgram, name: str) -> None:
        super().__init__()
        object.__setattr__(self, "program", program)
        self.net = name
        self.training_seed = program.seed
        self.calls = 0
        self._module_engine: NativeEngine | None = None
        self._views: dict[str, torch.nn.Parameter] = {}
        self._buffers_of_net: list[Parameter] = []
        outputs = tuple(program.program.nets[name].outputs)
        self._result = namedtuple(f"{name}_outputs", outputs) if len(outputs) > 1 else None
        arena = program.engine.parameters
        for p in program.artifact.parameters:
            if p.name.startswith(f"{name}."):
                view = torch.from_numpy(parameter_view(arena, p))
                place = _register(self, p.name.removeprefix(f"{name}."), view, p.trainable)
                if isinstance(place, torch.nn.Parameter):
                    self._views[p.name] = place
                else:
                    self._buffers_of_net.append(p)

    # ---- running -----------------------------------------------------------------------------

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """The outputs for inputs in the order of `in`, or by name; several: a named tuple."""
        given = self._given(inputs, named)
        if torch.is_grad_enabled() or self.training:
            parameters = list(self._views.values())
            found = _Run.apply(self, len(given), *given, *parameters)  # type: ignore[no-untyped-call]
        else:
            found = self._infer(given)
        return self._result(*found) if self._result is not None else found[0]

    def _given(self, inputs: Sequence[Any], named: dict[str, Any]) -> list[torch.Tensor]:
        types = self.program.program.nets[self.net].inputs
        values = dict(zip(types, inputs, strict=False)) | named
        missing = [n for n in types if n not in values]
        unknown = [n for n in named if n not in types]
        if missing or unknown or len(inputs) > len(types):
            raise UsageError(
                f"net `{self.net}` takes {', '.join(types)}; got {', '.join(values) or 'nothing'}"
            )
        return [
            torch.as_tensor(values[n]).to("cpu", TORCH[held(t).dtype]).contiguous()
            for n, t in types.items()
        ]

    def _infer(self, given: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        names = self.program.program.nets[self.net].inputs
        arrays = {n: t.detach().numpy() for n, t in zip(names, given, strict=True)}
        found = self.program.engine.forward(self.net, arrays)
        return tuple(
            torch.from_numpy(np.asarray(found[n]))
            for n in self.program.program.nets[self.net].outputs
        )

    # ---- training mode -----------------------------------------------------------------------

    def kernels(self) -> NativeEngine:
        """The kernels of the training mode and its backward pass, compiled when first needed."""
        if self._module_engine is None:
            lowered = lower_module(self.program.lowered, self.net)
            artifact = compile_native(lowered)
            engine = NativeEngine(replace(artifact, train=None))
            self._module_engine = engine
        np.copyto(self._module_engine.parameters, self.program.engine.parameters)
        return self._module_engine

    def keep_buffers(self, engine: NativeEngine) -> None:
        """Take over what a forward pass in training mode made of the running statistics."""
        for p in self._buffers_of_net:
            own = parameter_view(self.program.engine.parameters, p)
            own[...] = parameter_view(engine.parameters, p)

    def seed_and_step(self) -> tuple[int, int]:
        """The key of this call's random numbers: every forward pass in training mode draws new
        ones.
        """
        if self.training:
            self.calls += 1
        return self.training_seed, self.calls

    def parameter_gradients(self, entry: Entry, arena: Any) -> list[torch.Tensor]:
        """Copies of the gradients, in the order of the parameters."""
        del entry
        return [
            torch.from_numpy(np.array(parameter_view(arena, p), order="C"))
            for p in self.program.artifact.parameters
            if p.name in self._views
        ]


class _Run(torch.autograd.Function):
    """Forward and backward of a whole net as one node of autograd."""

    @staticmethod
    def forward(
        ctx: Any, module: CompiledNetwork, count: int, *tensors: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        given = list(tensors[:count])
        ctx.module, ctx.count = module, count
        ctx.key = module.seed_and_step()
        ctx.was_training = module.training
        ctx.save_for_backward(*given)
        if not module.training:
            return module._infer(given)
        engine = module.kernels()
        found = _call(engine, "run", module, given, ctx.key)
        module.keep_buffers(engine)
        return found

    @staticmethod
    def backward(ctx: Any, *cotangents: torch.Tensor) -> tuple[Any, ...]:
        module = ctx.module
        if not ctx.was_training and _draws(module):
            raise UsageError(
                f"`{module.net}` has parts that act only in training mode",
                hint="call .train() before a forward pass whose gradient you need",
            )
        engine = module.kernels()
        entry = engine.artifact.entry("backward", module.net)
        outputs = list(module.program.program.nets[module.net].outputs)
        known = dict(zip(outputs, cotangents, strict=True))
        extra = [_cotangent(p, known, ctx.saved_tensors, entry) for p in entry.inputs[ctx.count :]]
        found = dict(
            zip(
                (p.name for p in entry.outputs),
                _call(engine, "backward", module, [*ctx.saved_tensors, *extra], ctx.key),
                strict=True,
            )
        )
        inputs = [found.get(f"d_{name}") for name in module.program.program.nets[module.net].inputs]
        return (None, None, *inputs, *module.parameter_gradients(entry, engine.gradients))


def _cotangent(
    port: Port, known: dict[str, Any], saved: Sequence[torch.Tensor], entry: Entry
) -> torch.Tensor:
    found = known[port.name.removeprefix("cotangent_")]
    if found is None:
        raise UsageError(f"an output of `{entry.subject}` has no gradient")
    return found.to(TORCH[port.dtype]).contiguous()


def _draws(module: CompiledNetwork) -> bool:
    """Does the net differ between training and inference?"""
    entry = lower_module(module.program.lowered, module.net).entries[0]
    assert entry.graph is not None
    return any(node.op == "random" for node in entry.graph)


def _call(
    engine: NativeEngine,
    kind: str,
    module: CompiledNetwork,
    given: Sequence[torch.Tensor],
    key: tuple[int, int],
) -> tuple[torch.Tensor, ...]:
    entry = engine.artifact.entry(kind, module.net)
    arrays = {p.name: t.detach().numpy() for p, t in zip(entry.inputs, given, strict=True)}
    found = engine.call(kind, module.net, arrays, seed=key[0], index=key[1])
    return tuple(torch.from_numpy(found[p.name]) for p in entry.outputs)


def _register(
    module: torch.nn.Module, path: str, view: torch.Tensor, trainable: bool
) -> torch.Tensor:
    """Put a parameter or a buffer at a dotted path, making plain modules on the way.

    They are put there as PyTorch does, but for its refusal of names that modules have anyway: a
    layer may be called `forward`, and is reached by the names of the state.
    """
    *parents, leaf = path.split(".")
    for parent in parents:
        module = module._modules.setdefault(parent, torch.nn.Module())  # type: ignore[assignment]
    if not trainable:
        module._buffers[leaf] = view
        return view
    parameter = torch.nn.Parameter(view)
    module._parameters[leaf] = parameter
    return parameter
