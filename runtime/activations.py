"""The values that a net computes on its way, layer by layer: what feature maps are drawn from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..compiler.build import outline_of
from ..compiler.compile import compile_native, lower_inner
from ..compiler.inner import KIND, Inner, inner_values
from ..compiler.lowered import Lowered
from ..spec.errors import UsageError, suggest
from .native_engine import NativeEngine
from .reference_engine import ReferenceEngine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class Activations:
    """The inner values of one net, by kernels for the CPU (by NumPy for `reference`).

    The kernels for a choice of layers are compiled when that choice is first asked for.
    """

    def __init__(self, lowered: Lowered, net: str, *, exact: bool) -> None:
        self.net = net
        program = lowered.program
        self.known = inner_values(program.nets[net], outline_of(program, net))
        self._lowered = lowered
        self._exact = exact
        self._engines: dict[tuple[int, ...], ReferenceEngine | NativeEngine] = {}

    def chosen(self, layers: Iterable[str] | None) -> list[Inner]:
        """The values of these layers; without a choice, those of all layers that do something.

        Raises: UsageError for a layer that the net does not have.
        """
        if layers is None:
            return [each for each in self.known.values() if each.layer and not each.passed]
        found: dict[str, Inner] = {}
        for name in layers:
            path = name.removeprefix(f"{self.net}.")
            mine = {n: v for n, v in self.known.items() if path in (n, n.partition(":")[0])}
            if not mine:
                hint = suggest(path, self.known) or "`weft check` lists the layers"
                raise UsageError(f"`{self.net}` has no layer `{name}`", hint=hint)
            found |= mine
        return list(found.values())

    def values(
        self, inputs: Mapping[str, Array], chosen: Iterable[Inner], parameters: Array
    ) -> dict[str, Array]:
        """The chosen values by path, axes in PyTorch's order: [batch, channel, row, column].

        Raises: DataError when the inputs do not fit.
        """
        chosen = list(chosen)
        ids = tuple(dict.fromkeys(each.id for each in chosen))
        if not ids:
            return {}
        if ids not in self._engines:
            self._engines[ids] = self._compiled(ids)
        engine = self._engines[ids]
        np.copyto(engine.parameters, parameters)
        found = engine.call(KIND, self.net, inputs, seed=0, index=0)
        return {each.path: found[f"value_{each.id}"] for each in chosen}

    def _compiled(self, ids: tuple[int, ...]) -> ReferenceEngine | NativeEngine:
        lowered = lower_inner(self._lowered, self.net, ids)
        if self._exact:
            return ReferenceEngine(lowered)
        return NativeEngine(replace(compile_native(lowered), train=None))
