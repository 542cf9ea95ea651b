"""The voicefleet API: custom resources, plans and professions."""
