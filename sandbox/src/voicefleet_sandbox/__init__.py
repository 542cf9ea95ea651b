"""Stateful stand-ins for paid vendors, with one ledger."""
