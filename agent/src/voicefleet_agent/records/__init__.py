"""What a call leaves behind: recorded while it runs, spooled, delivered to the portal."""

from voicefleet_agent.records.recorder import Outcome, Recorder

__all__ = ["Outcome", "Recorder"]
