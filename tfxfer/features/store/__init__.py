"""The store of features on disk: files, tables that read them, and the folder as a whole."""
