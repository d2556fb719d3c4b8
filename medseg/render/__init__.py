"""Pictures without a screen: slices, overlays, plots, one-file HTML pages."""
