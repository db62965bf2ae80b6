"""Pictures: where they come from, their splits, and how they reach the network."""
