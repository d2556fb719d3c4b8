"""Takes out of images whatever tells whose they are, and proves it."""
