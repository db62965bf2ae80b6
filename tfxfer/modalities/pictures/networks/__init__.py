"""Networks that read pictures: one row for each family, and how they are built."""
