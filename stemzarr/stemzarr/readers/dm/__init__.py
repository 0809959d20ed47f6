"""The DM3/DM4 reader."""
