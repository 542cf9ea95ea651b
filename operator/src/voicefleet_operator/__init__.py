"""The voicefleet controller."""
