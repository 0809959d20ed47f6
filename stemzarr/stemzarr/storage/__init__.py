"""Bytes below a key: files, locks, and what the operating system says of them."""
