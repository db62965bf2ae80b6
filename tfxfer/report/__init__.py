"""What the user sees, from records alone."""
