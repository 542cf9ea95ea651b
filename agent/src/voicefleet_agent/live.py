"""The client's configuration as it is now: a change applies from the next turn."""

from __future__ import annotations

import logging
from collections.abc import Callable

from voicefleet_agent.logs import LOGGER
from voicefleet_agent.providers.build import Providers
from voicefleet_agent.providers.chain import Component, Meter, Resting
from voicefleet_agent.settings import Settings, read_config
from voicefleet_api.agentconfig import AgentConfig

log = logging.getLogger(LOGGER)


class Live:
    """Follows the configuration file; one `stat` a look. To be closed."""

    def __init__(self, settings: Settings, caller: str | None = None) -> None:
        """With the words for `caller`, where there is one.

        Raises OSError, or ValueError where the file is not valid.
        """
        self._settings = settings
        self._caller = caller
        self.meter: Meter | None = None
        """Counts what the providers do, once a call has one."""
        self._resting = Resting()
        self._old: list[Providers] = []
        self._seen = self._stamp()
        self.config = self._read()
        self.providers = self._made(self.config)
        self.on_change: Callable[[AgentConfig], None] = lambda _: None

    def look(self) -> Providers:
        """The providers of the next turn. A file that is not valid changes nothing."""
        try:
            stamp = self._stamp()
            if stamp != self._seen:
                self._seen = stamp
                self._take(self._read())
        except (OSError, ValueError) as error:
            log.error(
                "configuration not taken",
                extra={"action": "ConfigInvalid", "error": type(error).__name__},
            )
        return self.providers

    def used(self, component: Component, provider: str, amount: float) -> None:
        """For the chains."""
        if self.meter is not None:
            self.meter.used(component, provider, amount)

    def failed(self, component: Component, provider: str) -> None:
        """For the chains."""
        if self.meter is not None:
            self.meter.failed(component, provider)

    async def aclose(self) -> None:
        """Close all connections, also those of providers that a call has turned away from."""
        for providers in (*self._old, self.providers):
            await providers.aclose()

    def _read(self) -> AgentConfig:
        config = read_config(self._settings.config)
        return config if self._caller is None else config.heard_by(self._caller)

    def _take(self, config: AgentConfig) -> None:
        now, before = ((c.pipeline, c.locale) for c in (config, self.config))
        if now != before:
            self._old.append(self.providers)
            self.providers = self._made(config)
        self.config = config
        self.on_change(config)

    def _made(self, config: AgentConfig) -> Providers:
        return Providers(config.pipeline, self._settings, self._resting, self, locale=config.locale)

    def _stamp(self) -> tuple[int, int]:
        """Changes with every atomic replacement."""
        stat = self._settings.config.stat()
        return stat.st_ino, stat.st_mtime_ns
