"""Which values exist in memory, which kernels make them, in which order, and what that costs."""
