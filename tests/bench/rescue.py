"""How long a caller hears nothing whose agent was killed, from the kill to the next sound.

    python tests/bench/rescue.py --kills 20

Real calls by SIP through LiveKit, two kills a call, while the agent waits for an answer; the agent
is a process, its gateways are stand-ins that answer at once. Prints a table; asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from integration.voice.conftest import Agent
from support.rescue import BOOKING, phone, samples
from support.speech import speak
from support.switchboard import Switchboard

NUMBER = "+14155550100"
CONFIG = {
    "clientID": "vc-0000000001",
    "agentName": "agent-bench",
    "businessName": "Bright Smile",
    "profession": "dentist",
    "timeZone": "America/New_York",
    "greeting": "Bright Smile. How can I help you?",
}


async def measure(folder: Path, kills: int) -> list[float]:
    """Seconds without a sound, one for each kill."""
    found: list[float] = []
    speech = samples(speak("That is fine.", folder / "said.wav"))
    with Switchboard(folder / "platform") as switchboard:
        (folder / "agent").mkdir()
        config = CONFIG | {"livekitURL": switchboard.url}
        agent = Agent(switchboard, folder / "agent", config)  # type: ignore[arg-type]
        agent.start()
        try:
            async with phone(switchboard, agent, speech, NUMBER) as caller:
                while len(found) < kills:
                    await caller.ring(NUMBER)
                    await caller.says(BOOKING[0])
                    for _ in range(2):
                        caller.kill()
                        await caller.quiet()
                    found += caller.silences()
                    await caller.hang_up()
                    await caller.until(lambda: not caller.processes(), "end of the call")
        finally:
            agent.stop()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    kills = parser.parse_args().kills
    with tempfile.TemporaryDirectory(prefix="voicefleet-rescue-") as folder:
        found = sorted(asyncio.run(measure(Path(folder), kills)))
    load = os.getloadavg()[0]
    print(f"{len(found)} kills, {os.cpu_count()} cores, load {load:.1f} (1 minute)")
    print("p50", "p95", "max", sep="\t")
    p95 = found[min(len(found) - 1, round(0.95 * len(found)))]
    print(*(f"{seconds:.2f} s" for seconds in (statistics.median(found), p95, found[-1])), sep="\t")


if __name__ == "__main__":
    main()
