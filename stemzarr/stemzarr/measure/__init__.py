"""What one pass over the patterns measures."""
