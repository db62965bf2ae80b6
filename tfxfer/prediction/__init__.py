"""From pictures in files to what a trained model says of them, wherever it stands."""
