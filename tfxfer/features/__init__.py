"""What frozen layers give: computed once by the fastest engine, and kept on disk."""
