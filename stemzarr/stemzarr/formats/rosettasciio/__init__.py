"""Whatever else RosettaSciIO reads."""
