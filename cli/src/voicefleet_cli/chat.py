"""`voicefleet chat`: the same dialogue as on the phone, in a terminal."""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientTimeout
from pydantic import ValidationError

from voicefleet_agent.providers.http import Endpoint
from voicefleet_agent.providers.openai import OpenAIModel
from voicefleet_agent.reach import Reach
from voicefleet_api.agentconfig import AgentConfig
from voicefleet_api.base import problems
from voicefleet_api.receptionist import ReceptionistSpec
from voicefleet_api.voiceclient import VoiceClientSpec
from voicefleet_cli.console import fail, out
from voicefleet_cli.plan import live, read
from voicefleet_dialogue.acts import Act, End, Say, Transfer
from voicefleet_dialogue.booking import Bookings
from voicefleet_dialogue.booking.bookings import now
from voicefleet_dialogue.dialogue import Dialogue
from voicefleet_dialogue.state import Turn
from voicefleet_operator.planning.desired import Unmet, agent_config
from voicefleet_operator.planning.observed import Mark

_MODEL_SECONDS = 30.0
_KEYS = re.compile(r"\[([0-9*#]+)\]")
"""Keys of a phone, as in [1] or [4155550134#]."""


@asynccontextmanager
async def model_at(url: str) -> AsyncIterator[OpenAIModel]:
    """An OpenAI-compatible server's; its address ends in /v1."""
    endpoint = Endpoint(Reach(url.rstrip("/").removesuffix("/v1")))
    try:
        yield OpenAIModel(endpoint, "default", url, ClientTimeout(_MODEL_SECONDS))
    finally:
        await endpoint.aclose()


def chat(
    kubeconfig: Path | None,
    client: str,
    file: Path | None,
    namespace: str,
    *,
    model: str,
    caller: str | None,
    verbose: bool,
) -> None:
    """Until the dialogue or the input ends."""
    if model != "none" and not model.startswith(("http://", "https://")):
        fail("--model: none, or an address such as http://127.0.0.1:8080/v1")
    config = config_of(kubeconfig, client, file, namespace)

    async def talk() -> None:
        async with AsyncExitStack() as opened:
            server = None if model == "none" else await opened.enter_async_context(model_at(model))
            dialogue = Dialogue(
                config,
                Bookings(Path(opened.enter_context(tempfile.TemporaryDirectory())), config),
                clock=now,
                language_model=server,
                caller=caller,
                model_seconds=_MODEL_SECONDS,
            )
            await _talk(dialogue, sys.stdin, verbose=verbose)

    asyncio.run(talk())


async def _talk(dialogue: Dialogue, lines: Iterable[str], *, verbose: bool) -> None:
    over = _show(dialogue.commit(dialogue.open()))
    tty = sys.stdin.isatty()
    for line in lines:
        heard = line.strip()
        if not tty:
            out.print(f"> {heard}", markup=False)
        if keys := _KEYS.fullmatch(heard):
            turn: Turn | None = dialogue.press(keys[1])
        else:
            turn = dialogue.consider(heard) if heard else dialogue.silent()
        if turn is not None:
            over = _show(dialogue.commit(turn))
        else:
            async for act in dialogue.ask(heard):
                over = _show([act])
        if verbose:
            out.print(f"  {dialogue.state.phase} {dict(dialogue.state.slots)}", style="dim")
        if over:
            break
    for item in dialogue.outcome.appointments:
        out.print(f"[{item.action}: {item.title}, {item.starts:%Y-%m-%d %H:%M}, {item.name}]",
                  markup=False)  # fmt: skip
    for message in dialogue.outcome.messages:
        urgent = "urgent message" if message.urgent else "message"
        out.print(f"[{urgent}: {message.text} ({message.name}, {message.phone})]", markup=False)


def _show(acts: Iterable[Act]) -> bool:
    """Print them; whether the talk is over."""
    over = False
    for act in acts:
        if isinstance(act, Say):
            out.print(act.text, markup=False, soft_wrap=True)
        elif isinstance(act, Transfer):
            out.print(f"[transferred to {act.number}]", markup=False)
            over = True
        elif isinstance(act, End):
            over = True
    return over


def config_of(
    kubeconfig: Path | None, client: str, file: Path | None, namespace: str
) -> AgentConfig:
    """What the controller would give the client's agent; ends the command where it gives none."""
    written = {(d["kind"], d["metadata"]["name"]): d for d in read(file)} if file else {}

    def find(kind: str, name: str) -> dict[str, Any] | None:
        return written.get((kind, name)) if file else live(kubeconfig, kind, namespace, name)

    if not client:
        names = [name for kind, name in written if kind == "VoiceClient"]
        if len(names) != 1:
            fail("name a client, as in: voicefleet chat bright-smile; see: kubectl get vc")
        client = names[0]
    found = find("VoiceClient", client)
    if found is None:
        fail(f"there is no VoiceClient {client} in {file or f'namespace {namespace}'}")
    try:
        spec = VoiceClientSpec.model_validate(found["spec"])
        own = find("Receptionist", spec.receptionist_ref.name) if spec.receptionist_ref else None
        words = ReceptionistSpec.model_validate(own["spec"]) if own else None
        return agent_config(Mark("", "chat", namespace, client), spec, "ws://localhost", words)
    except Unmet as unmet:
        fail(f"{unmet.reason}: {unmet.message}")
    except ValidationError as error:
        fail(f"{client} is not valid: {problems(error)}")
