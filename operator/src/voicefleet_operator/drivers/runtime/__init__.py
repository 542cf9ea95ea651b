"""Where a client's agent runs, one driver for each class."""
