"""The ground: geometry, volumes, labels, errors. numpy only."""
