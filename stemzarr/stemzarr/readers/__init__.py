"""Readers: bytes of a source to the model, without touching pixels."""
