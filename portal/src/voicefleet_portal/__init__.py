"""Calls, as people see them."""
