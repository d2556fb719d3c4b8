"""From two folders of label maps to scores, intervals and a report."""
