"""Scores: count once, derive many."""
