"""Models for serving, one file a format."""
