"""Stores that are there: verified, restored, rebuilt, revised, redacted."""
