"""The settings of a run: frozen tables of values, and presets. They need no TensorFlow."""
