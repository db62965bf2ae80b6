"""The tasks: labels, heads, losses and metrics."""
