"""What the review app does, without a screen."""
