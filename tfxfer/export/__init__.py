"""The export of models for serving: one file for each format."""
