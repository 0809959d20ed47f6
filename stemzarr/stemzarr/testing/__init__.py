"""What tests of stemzarr and of its extensions share: writers, strategies, contracts."""
