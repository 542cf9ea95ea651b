"""LiveKit Agents' own pipeline on our model gateways, for comparison.

`AgentSession` as its documentation tunes it for latency: preemptive generation with speech, the
audio turn detector (`v1-mini`: the other one is a cloud service) with its own endpointing delays,
VAD interruptions, processes and models warmed before a call comes, short prompt, short answers.
The caller robot has it ask what the corpus says was asked (`bench.ask`), then measures its answer;
the robot is told each item of the conversation as it is added.

`LIVEKIT_URL`, `LIVEKIT_API_KEY`, `LIVEKIT_API_SECRET`, `VOICEFLEET_MODELS`, `MODELS_TOKEN` and
`BENCH_CALLS` (processes kept warm) come from the environment.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
from pathlib import Path

from livekit import rtc
from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    ConversationItemAddedEvent,
    JobContext,
    JobProcess,
    TurnHandlingOptions,
    cli,
    inference,
    llm,
)

sys.path.insert(0, str(Path(__file__).parents[2]))

from bench import corpus
from bench.stock.gateways import Ear, Gateway, Model, Voice
from voicefleet_api import professions

NAME = "stock"
TOPIC = "bench.item"
TURNS = TurnHandlingOptions(
    turn_detection=inference.TurnDetector(version="v1-mini"),
    # The detector's own: answer after 0.3 s where the turn seems to have ended, else wait.
    endpointing={"mode": "fixed", "min_delay": 0.3, "max_delay": 2.5},
    interruption={"mode": "vad"},
    preemptive_generation={"enabled": True, "preemptive_tts": True},
)


def prompt(client: str) -> str:
    """The profession's, with what the client knows."""
    profession, known = professions.load(client), corpus.clients()[client]
    facts = " ".join(fact["text"] for fact in known["facts"])
    return profession.prompt.replace(professions.BUSINESS, known["business"]) + f"\nFacts: {facts}"


def warm(process: JobProcess) -> None:
    """Load what is loaded once, before a call comes."""
    process.userdata["vad"] = inference.VAD(min_silence_duration=0.25)


server = AgentServer(
    setup_fnc=warm,
    num_idle_processes=int(os.environ.get("BENCH_CALLS", "1")),
    load_fnc=lambda: 0.0,
    load_threshold=math.inf,
    host="127.0.0.1",
    port=0,
)


@server.rtc_session(agent_name=NAME)
async def answer(ctx: JobContext) -> None:
    """One call; the room's name is `client--anything`."""
    models, token = Path(os.environ["VOICEFLEET_MODELS"]), os.environ["MODELS_TOKEN"]
    model = Model(Gateway(models / "llm.sock", token))
    session = AgentSession(
        stt=Ear(Gateway(models / "stt.sock", token)),
        llm=model,
        tts=Voice(Gateway(models / "tts.sock", token)),
        vad=ctx.proc.userdata["vad"],
        turn_handling=TURNS,
    )
    client = ctx.room.name.partition("--")[0]
    telling: set[asyncio.Task[None]] = set()

    @session.on("conversation_item_added")
    def added(event: ConversationItemAddedEvent) -> None:
        if isinstance(event.item, llm.ChatMessage):
            item = {
                "role": event.item.role,
                "text": event.item.text_content,
                "metrics": event.item.metrics,
            }
            words = ctx.room.local_participant.publish_data(json.dumps(item), topic=TOPIC)
            telling.add(asyncio.create_task(words))

    instructions = prompt(client)
    await session.start(Agent(instructions=instructions), room=ctx.room)
    # While the greeting is spoken the model reads the prompt, so that no caller waits for that.
    warming = asyncio.create_task(model.read(instructions))

    @ctx.room.local_participant.register_rpc_method("bench.ask")
    async def ask(data: rtc.RpcInvocationData) -> str:
        session.say(data.payload, allow_interruptions=False)
        return ""

    await session.say(professions.load(client).greeting.replace(professions.BUSINESS, "our office"))
    await warming
    await asyncio.Event().wait()


if __name__ == "__main__":
    cli.run_app(server)
