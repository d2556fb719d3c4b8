"""Segmentation losses on logits and label maps."""
