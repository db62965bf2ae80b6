"""The sources of items: one file for each kind of source."""
