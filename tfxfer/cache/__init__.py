"""The folder in which runs keep what they compute, and who is using it."""
