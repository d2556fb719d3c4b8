"""Run configuration as data: a typed tree, and how it is read from YAML."""
