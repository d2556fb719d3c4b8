"""Segmentation networks, 2D and 3D from one code path."""
