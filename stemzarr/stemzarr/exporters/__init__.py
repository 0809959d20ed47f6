"""Exporters: documents and views to files of other formats."""
