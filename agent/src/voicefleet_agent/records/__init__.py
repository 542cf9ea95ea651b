"""What a call leaves behind: recorded while it runs, spooled, delivered to the portal."""

from voicefleet_agent.records.journal import Entry, Journal
from voicefleet_agent.records.recorder import Outcome, Recorder

__all__ = ["Entry", "Journal", "Outcome", "Recorder"]
