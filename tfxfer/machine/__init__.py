"""Devices, processes, compiled functions, progress, and files on disks and at addresses."""
