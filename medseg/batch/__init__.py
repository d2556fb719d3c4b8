"""One model over many studies: which series, in what order, and what became of each."""
