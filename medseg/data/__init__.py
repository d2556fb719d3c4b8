"""Data sets: where the cases are, whether they are sound, how they are split and sampled."""
