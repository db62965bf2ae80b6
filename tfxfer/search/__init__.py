"""A search over configs: what KerasTuner proposes is scored by the training that runs them."""
