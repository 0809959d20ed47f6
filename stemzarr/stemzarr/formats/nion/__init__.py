"""Nion Swift's items: what its JSON says of values, and the zip files that hold both."""
