"""An agency's clients and calls, as they come: a busy dentist, a plumber with a long name, a café
that nobody has called yet."""

from __future__ import annotations

import io
import json
import math
import struct
import wave
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from support.controlplane import ControlPlane
from support.manifests import voice_client
from support.portal import record
from voicefleet_api.calls import (
    BookedAppointment,
    CallRecord,
    Message,
    StageLatencies,
    TranscriptTurn,
)
from voicefleet_infra.cluster import Cluster

DENTIST, PLUMBER, CAFE = "vc-dentist", "vc-plumber", "vc-cafe"
LONG_NAME = "Donaudampfschifffahrtsgesellschaft & Sons Plumbing, Heating and Drainage of Chicago"
LONG_WORD = "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch"
WHY_NOT = "the agent's pod does not run: image voicefleet-agent:9f3c is not there"


def declare(plane: ControlPlane) -> Path:
    """Three clients, with the status that an operator writes; the portal's own kubeconfig."""
    clients = {
        DENTIST: ("Bright Smile Dental", "America/Los_Angeles", "+14152201000", True),
        PLUMBER: (LONG_NAME, "America/Chicago", "+13122201000", False),
        CAFE: ("Café Zwölf", "Europe/Vienna", None, True),
    }
    for client_id, (business, zone, number, answering) in clients.items():
        name = client_id.removeprefix("vc-")
        plane.apply(voice_client(name, business={"name": business, "timeZone": zone}))
        condition = {
            "type": "Answering",
            "status": str(answering),
            "reason": "Tested",
            "message": "" if answering else WHY_NOT,
            "lastTransitionTime": "2026-03-02T10:00:00Z",
            "observedGeneration": 1,
        }
        status = {"clientID": client_id, "primaryNumber": number, "conditions": [condition]}
        plane.kubectl(
            "patch", "vc", name, "--subresource=status", "--type=merge",
            f"--patch={json.dumps({'status': status})}",
        )  # fmt: skip
    return Cluster(plane.platform).kubeconfig_of("portal")


def tone(seconds: float = 2.0, rate: int = 8000) -> bytes:
    """A WAV file with A4, as loud as speech."""
    count = int(seconds * rate)
    samples = (int(8000 * math.sin(math.tau * 440 * i / rate)) for i in range(count))
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(struct.pack(f"<{count}h", *samples))
    return file.getvalue()


def booked() -> CallRecord:
    """A long call to the dentist that ends with an appointment and a message."""
    said = [
        ("Agent", "Thank you for calling Bright Smile Dental, this is Ava. How can I help?", None),
        ("Caller", "Hi, um, I have a toothache since Sunday and I'd like to come in.", None),
        ("Agent", "I'm sorry to hear that. Are you in a lot of pain right now?", 420.0),
        ("Caller", "It's, uh, it's bearable, I mean I took an ibuprofen this morning.", None),
        ("Agent", "Good. Have you been to our practice before?", 388.0),
        ("Caller", "No. What does a check-up cost, by the way?", None),
        (
            "Agent",
            "A check-up with cleaning is $120; most insurance plans cover it twice a year. We bill"
            " Delta Dental, MetLife and Cigna directly. Which day would suit you?",
            3180.0,
        ),
        ("Caller", "Tomorrow, in the afternoon, after three if you have anything.", None),
        ("Agent", "Tomorrow, Tuesday, I have 3:15 and 4:30 in the afternoon. Which one?", 512.0),
        ("Caller", "Three fifteen.", None),
        ("Agent", "And your name, please?", 301.0),
        ("Caller", f"It's Maximiliane {LONG_WORD}, that's a Welsh one.", None),
        ("Agent", "Tuesday, March 3rd at 3:15 in the afternoon for Maximiliane. Is that", 340.0),
        ("Caller", "Yes! Yes, that's right. Oh, and tell the doctor I'm allergic to latex.", None),
        ("Agent", "It is booked, and I have passed that on. See you tomorrow!", 460.0),
    ]
    turns = [
        TranscriptTurn(
            speaker="Agent" if speaker == "Agent" else "Caller",
            text=text,
            at=1.5 + 7 * i,
            interrupted=text.endswith("Is that"),
            latency=StageLatencies(total=total) if total else None,
        )
        for i, (speaker, text, total) in enumerate(said)
    ]
    starts = datetime(2026, 3, 3, 15, 15, tzinfo=timezone(timedelta(hours=-8)))
    name = f"Maximiliane {LONG_WORD}"
    return record(
        DENTIST,
        called="+14152201000",
        duration_seconds=109.4,
        outcome="Booked",
        transcript=turns,
        slots={
            "reason": "toothache since Sunday",
            "pain": "no",
            "newPatient": "yes",
            "name": name,
            "phone": "+14155550123",
            "date": "2026-03-03",
            "time": "15:15",
        },
        appointments=[
            BookedAppointment(
                uid="1", action="Booked", title="check-up with cleaning", starts=starts,
                ends=starts + timedelta(minutes=45), name=name,
            )
        ],
        messages=[
            Message(text="Allergic to latex.", name=name, phone="+14155550123", urgent=True)
        ],
        interruptions=1,
        latency=StageLatencies(end_of_turn=212, stt=95, llm=None, tts=0, total=404),
    )  # fmt: skip


def failed() -> CallRecord:
    """A call that our side broke off, from a caller who hides the number."""
    return record(
        PLUMBER,
        caller=None,
        started=datetime(2026, 3, 2, 3, 59, tzinfo=UTC),
        duration_seconds=4.2,
        ended="agent ended",
        outcome="Failed",
        success=False,
        transcript=[],
    )


def day() -> list[CallRecord]:
    """Each outcome once, half an hour apart."""
    outcomes = ["Rescheduled", "Cancelled", "Message", "Transferred", "Emergency", "HungUp"]
    return [
        record(
            PLUMBER if outcome == "Emergency" else DENTIST,
            caller=f"+1312555{i:04}",
            started=datetime(2026, 3, 2, 10 + i, 30, tzinfo=UTC),
            duration_seconds=61.5 * (i + 1),
            outcome=outcome,
            latency=StageLatencies(total=380 + 90 * i),
        )
        for i, outcome in enumerate(outcomes)
    ]
