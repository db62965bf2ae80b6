"""Networks that read pictures: one row a family, and how each is built and preprocessed."""
