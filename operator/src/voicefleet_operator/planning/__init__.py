"""The pure planner: desired and observed state in, actions out."""
