"""The commands: each file has a command's arguments, its function and what it prints."""
