"""The door to files: one module a format; RAS and LPS meet here and nowhere else."""
