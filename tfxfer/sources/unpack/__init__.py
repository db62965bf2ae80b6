"""Archives, none of which is trusted."""
