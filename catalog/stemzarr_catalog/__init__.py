"""Many stores: the lake, its index, and the intake face of it."""
