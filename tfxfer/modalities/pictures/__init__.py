"""Pictures: how they are decoded, augmented and audited, and which networks read them."""
