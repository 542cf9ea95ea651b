"""A telephone of our own, and what can be read from a call that was made with it."""
