"""The voicefleet command line."""
