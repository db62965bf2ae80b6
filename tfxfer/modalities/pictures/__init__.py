"""Pictures: how they are decoded, changed, looked at, and which networks read them."""
