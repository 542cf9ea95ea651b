"""What a person is told before a caller is connected with them: who calls, and why."""

from __future__ import annotations

from voicefleet_dialogue import messages, speaking
from voicefleet_dialogue.frame import Frame
from voicefleet_dialogue.state import State


def summary(frame: Frame, state: State, reason: str) -> str:
    """Two sentences, from what is known; `reason`: what the caller said that asks for a person."""
    locale = frame.locale
    caller = messages.Caller.of(frame, state)
    who = caller.name or (speaking.phone(caller.phone) if caller.phone else locale.say("somebody"))
    told = [locale.say("handover", business=frame.config.business_name, who=who)]
    if state.urgent:
        told.append(locale.say("handover_urgent", words=reason))
    elif state.task in ("Book", "Reschedule", "Cancel"):
        told.append(locale.say("handover_about", appointment=frame.kind(state.said).title))
    return " ".join(told)
