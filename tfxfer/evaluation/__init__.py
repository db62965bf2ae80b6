"""The last look at a trained model, and the evaluation of one on new data."""
