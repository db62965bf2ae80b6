"""One file a command: its arguments, its call and what it prints."""
