"""Items: their listing, audit, splits, and the batches that reach the network."""
