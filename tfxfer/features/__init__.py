"""The features of frozen layers, which the fastest engine computes once and the store keeps."""
