"""From a data set, a device and a budget to a run configuration."""
