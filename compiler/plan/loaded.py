"""Values of a GPU: products and convolutions make maps of what they load, and add each other up;
what is joined is made side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..ir.graph import Graph
from .attention import Attention
from .forms import Plans
from .joints import joints
from .prologue import ahead_of
from .totals import onto, totals
from .values import Values


class LoadedValues(Values):
    """The stored values, without what kernels make where they load it (`prologue`), without the
    terms of sums that one launch makes (`totals`), and without what is joined where it is made
    (`joints`).
    """

    def __init__(
        self,
        graph: Graph,
        sizes: Mapping[str, int],
        *,
        plans: Plans | None = None,
        attention: Iterable[Attention] = (),
        kept: int = 0,
    ) -> None:
        super().__init__(graph, sizes, turned=True, plans=plans, attention=attention)
        self.kept = kept
        self._look_ahead()
        self._add_up()
        self.leaders = {terms[0]: i for i, terms in self.totals.items()}
        self.followers = frozenset(i for terms in self.totals.values() for i in terms[1:])
        self.sources = {
            (reader, i): ahead.source for i, ahead in self.ahead.items() for reader in ahead.readers
        }
        found = joints(self)
        self.within, self.parts = found.within, found.parts
        self.stored -= found.parts.keys()
        self.forget()

    def _look_ahead(self) -> None:
        """Find the maps that are made where they are loaded."""
        for i in sorted(self.stored - self.outputs):
            found = ahead_of(self, i)
            if found is not None:
                self.ahead[i] = found
                self.stored = self.stored - {i} | set(found.moved)
                if found.written:
                    self.writers[i] = found.readers[0]

    def _add_up(self) -> None:
        """Find the sums of products, and of scattered rows, that one launch makes."""
        self.totals, self.onto = totals(self), onto(self)
        made = {i: terms[0] for i, terms in self.totals.items()}
        made |= {total: scattered for scattered, (total, _) in self.onto.items()}
        self.stored -= made.keys()
        self.writers |= made
        held = frozenset(x for _, x in self.onto.values())
        self.stored |= {x for x in held if not self.is_leaf(x)}
