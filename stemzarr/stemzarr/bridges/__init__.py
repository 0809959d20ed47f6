"""Hands a scan to another program without a copy: lazily, with axes, units and facts.

Each program has a module of its own, which imports it when it is used.
"""
