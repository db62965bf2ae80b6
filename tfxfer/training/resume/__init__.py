"""How a run that was stopped goes on: what is kept of it, where, and in which form."""
