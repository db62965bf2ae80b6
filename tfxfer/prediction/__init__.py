"""The prediction of pictures in files by a trained model, in any format or on a server."""
