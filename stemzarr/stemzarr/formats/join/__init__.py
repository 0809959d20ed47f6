"""Sets of one frame a file, joined."""
