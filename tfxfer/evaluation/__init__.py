"""The final evaluation of a run, and the evaluation of a model on new data."""
