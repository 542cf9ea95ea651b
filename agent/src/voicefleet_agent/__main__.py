"""`python -m voicefleet_agent`: the client's agent, in its pod."""

from __future__ import annotations

import asyncio
import contextlib
import os

from voicefleet_agent import logs, trust

# Linear algebra is not what an agent does; its threads must not exist when the nursery forks.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# The framework's warm-up would load a model for the end of turns (240 MB); a gateway has one.
os.environ.setdefault("LIVEKIT_AGENTS_PRELOAD_LOCAL_INFERENCE", "0")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def main() -> None:
    """Read the configuration, then serve calls."""
    trust.extend()
    from voicefleet_agent.settings import Settings, load_secrets, read_config

    settings = Settings.from_env()
    load_secrets()
    config = read_config(settings.config)
    # Where calls' processes reach LiveKit's API: to hang up and to transfer.
    os.environ["LIVEKIT_URL"] = config.livekit_url
    logs.configure(config.client_id)
    # Only now: the framework takes two seconds to import, and a broken file is said at once.
    from voicefleet_agent import nursery, overflow, talk
    from voicefleet_agent.worker import run

    if config.overflow:
        os.environ["MODELS_TOKEN"] = overflow.token(settings, config.client_id)
        overflow.preload()
    # Where that fails each call says why, and the worker serves on.
    with contextlib.suppress(OSError, KeyError):
        talk.preload(config, settings)
    nursery.start()
    asyncio.run(run(config, settings))


if __name__ == "__main__":
    main()
