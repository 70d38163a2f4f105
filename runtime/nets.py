"""Which of a spec's nets is meant."""

from __future__ import annotations

from collections.abc import Collection

from ..spec.errors import UsageError, suggest


def named_net(nets: Collection[str], net: str | None) -> str:
    """The net of that name; without a name, the only one.

    Raises: UsageError where there is no such net, or several to choose from.
    """
    listed = ", ".join(nets)
    if net is None:
        if len(nets) == 1:
            return next(iter(nets))
        raise UsageError("which net? the spec has several", hint=f"choose one of {listed}")
    if net not in nets:
        hint = suggest(net, nets) or f"there is {listed}"
        raise UsageError(f"the spec has no net `{net}`", hint=hint)
    return net
