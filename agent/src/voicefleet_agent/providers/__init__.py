"""Who transcribes, thinks and speaks: one small interface each, whoever is behind it.

`voicefleet_agent.providers.chain` tries them in the order of the client's `pipeline`.
"""

from voicefleet_agent.providers.base import Fits, ProviderFailed, Speaker, Transcriber, Transcript

__all__ = ["Fits", "ProviderFailed", "Speaker", "Transcriber", "Transcript"]
