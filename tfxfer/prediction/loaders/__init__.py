"""What makes a model ready to predict: one file a kind of model or server."""
