"""The outside world, one module for each vendor; none knows of another."""
