"""A search over configs: KerasTuner proposes trials, and the usual training scores them."""
