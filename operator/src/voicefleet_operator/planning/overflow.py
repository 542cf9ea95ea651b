"""What the platform's overflow agent is told of a client, with each of its calls (pure).

It stands in the client's dispatch rule: a call needs nothing else of ours to be taken. No secret is
in it, so the overflow agent hears and speaks with the machine's own models.
"""

from __future__ import annotations

from voicefleet_api.agentconfig import AgentConfig

_GREETINGS = {
    "en": "Thank you for calling {business}. I can't put you through right now, but I can take a"
    " message. What would you like me to pass on?",
}
"""In the languages that the machine's own transcribers hear (`pipeline.LOCAL_HEARS`)."""


def speaks_for(own: AgentConfig, agent_name: str) -> AgentConfig | None:
    """Of the client's own configuration what a message, an emergency or a wish for a person takes.

    None where the machine does not hear the client's language.
    """
    greeting = _GREETINGS.get(own.locale.partition("-")[0])
    if greeting is None:
        return None
    return AgentConfig(
        client_id=own.client_id,
        agent_name=agent_name,
        livekit_url=own.livekit_url,
        business_name=own.business_name,
        time_zone=own.time_zone,
        locale=own.locale,
        profession=own.profession,
        greeting=greeting.replace("{business}", own.business_name),
        disclosure=own.disclosure,
        hours=own.hours,
        holidays=own.holidays,
        contacts=own.contacts,
        forward_to=own.forward_to,
        overflow=True,
    )
