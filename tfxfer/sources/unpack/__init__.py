"""The unpacking of archives, none of which is trusted."""
