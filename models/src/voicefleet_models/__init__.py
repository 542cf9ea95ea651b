"""Gateways to the machine's speech and language models."""
