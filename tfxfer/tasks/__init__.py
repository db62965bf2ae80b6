"""What comes out: one row a task for `kinds.py`, with its labels, heads, losses and metrics."""
