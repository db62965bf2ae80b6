"""LiteRT files: their format, their metadata, and the interpreter that runs them."""
