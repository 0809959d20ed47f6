"""Merlin's ``.mib`` and ``.hdr``."""
