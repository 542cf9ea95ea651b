"""Carrying out a plan: journal, status writer, events."""
