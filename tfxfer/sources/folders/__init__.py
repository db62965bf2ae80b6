"""Folders as people and systems leave them: their names, and what lies in them."""
