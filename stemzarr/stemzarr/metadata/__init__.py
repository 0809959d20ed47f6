"""What is known of an acquisition: facts, units, dates, optics, JSON."""
