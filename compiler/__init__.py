"""How a spec becomes kernels: graph, passes, plan, emitted text."""
