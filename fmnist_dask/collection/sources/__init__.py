"""Sources: one module for each kind of raw input, and :func:`open_source`, which finds the one that fits."""
