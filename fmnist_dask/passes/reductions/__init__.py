"""The library of reductions and columns: one module for each kind. Light: NumPy and the kernels only."""
