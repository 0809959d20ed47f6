"""DECTRIS masters (ARINA and its kin)."""
