"""A phase of training: freezing, learning rates, precision, and the choice of the best epoch."""
