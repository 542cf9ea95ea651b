"""The real controller and the real drivers on a simulated world: see docs/reliability.md."""
