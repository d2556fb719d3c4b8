"""Preprocessing, resampling and augmentation of volumes."""
