"""Pretrained networks: the table of families, their blocks, and how one is built."""
