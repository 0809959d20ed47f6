"""Spectra and profiles as text."""
