"""The resumption of stopped runs: what is kept of a run, where, and in which form."""
