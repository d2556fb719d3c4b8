"""Clean-up of label maps."""
