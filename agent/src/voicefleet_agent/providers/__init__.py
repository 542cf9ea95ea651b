"""Who transcribes, thinks and speaks: one small interface each, whoever is behind it.

`voicefleet_agent.providers.chain` tries them in the order of the client's `pipeline`.
"""

from voicefleet_agent.providers.base import (
    Asked,
    Fit,
    ProviderFailed,
    Speaker,
    Transcriber,
    Transcript,
)

__all__ = ["Asked", "Fit", "ProviderFailed", "Speaker", "Transcriber", "Transcript"]
