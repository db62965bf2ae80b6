"""What a run is told to do: frozen tables of values, and presets. Imports no TensorFlow."""
