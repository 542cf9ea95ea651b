"""Simulated callers: scenarios are read, called as text or by telephone, judged and reported."""
