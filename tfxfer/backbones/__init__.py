"""Pretrained networks: their blocks, and how they are built."""
