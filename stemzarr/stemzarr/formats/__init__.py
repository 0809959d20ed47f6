"""Formats of others, the reader and the writer of each side by side."""
