"""A source written into a store in one pass."""
