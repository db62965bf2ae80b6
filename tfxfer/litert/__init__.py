"""LiteRT files: their format, their labels, and what runs them."""
