"""Pictures: PNG, JPEG, BMP, TIFF."""
