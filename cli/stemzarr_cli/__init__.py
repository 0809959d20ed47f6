"""The command ``stemzarr``."""
