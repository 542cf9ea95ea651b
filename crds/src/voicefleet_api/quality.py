"""How good a call's line is, and what was wrong with a call that failed or went badly, in words."""

from __future__ import annotations

from voicefleet_api.calls import CallRecord

# ITU-T G.107 with its defaults, and G.711 with the loss concealment of its appendix I (G.113).
_BEST = 93.2
_WORST_EQUIPMENT = 95.0
_ROBUSTNESS = 25.1
_NOTICED_DELAY = 177.3
"""Milliseconds one way, above which talk suffers (Cole and Rosenbluth, 2001)."""

MISSING_PERCENT = 3.0
"""Of speech, above which words get lost."""
JITTER_MS = 30.0
ROUND_TRIP_MS = 300.0
SLOW_MS = 1500.0
"""Median answer, above which callers ask whether somebody is there."""

_ENDED = {
    "agent ended": "The agent's process ended in the middle of the call, and the record with it."
    " Look for what ended it: the pod's memory limit, its log, a restart of the machine.",
    "nobody transcribes": "The caller's words could not be transcribed, several turns in a row.",
    "no voice speaks": "No voice could speak the answers, several turns in a row.",
    "answering fails": "Answers failed, several turns in a row; the agent's log says AnswerFailed.",
    "maximum length": "The call reached its longest duration (spec.telephony.limits.callMinutes).",
}
_STAGES = {
    "end_of_turn": "noticing that the caller has finished",
    "stt": "transcription",
    "llm": "the language model",
    "tts": "speech",
}


def mos(missing_percent: float, one_way_ms: float) -> float:
    """Estimate of the mean opinion score (1 to 4.5) of a telephone call with so much of the sound
    missing and so late: the E-model (ITU-T G.107), simplified, losses taken for random."""
    late = 0.024 * one_way_ms + 0.11 * max(0.0, one_way_ms - _NOTICED_DELAY)
    missing = _WORST_EQUIPMENT * missing_percent / (missing_percent + _ROBUSTNESS)
    r = max(0.0, _BEST - late - missing)
    return round(1 + 0.035 * r + 7e-6 * r * (r - 60) * (100 - r), 2)


def diagnose(record: CallRecord) -> list[str]:
    """What was wrong, most telling first; empty where nothing was."""
    found = []
    if record.answered_by == "Overflow":
        found.append(
            "The client's own agent did not join in time; the overflow agent took the call. Look at"
            " the client's condition Answering then, and at the load of its agent's machine."
        )
    if record.ended in _ENDED:
        found.append(_ENDED[record.ended])
    elif record.outcome == "Failed" and any(s.state == "Transferring" for s in record.states):
        found.append(
            "The caller was to be connected with a person, and could not: the carrier refused, or"
            " nobody took the call."
        )
    elif not record.success:
        found.append(f"The call failed on our side: {record.ended}.")
    for use in record.providers:
        if use.failures:
            asked = use.failures + use.requests
            found.append(
                f"{use.component} by {use.provider} failed {use.failures} of {asked} times:"
                " refused, broken or too slow."
            )
    return found + _slow(record) + _line(record)


def _slow(record: CallRecord) -> list[str]:
    took = record.latency
    if took.total is None or took.total <= SLOW_MS:
        return []
    stages = {stage: getattr(took, stage) or 0.0 for stage in _STAGES}
    longest = max(stages, key=lambda stage: stages[stage])
    return [
        f"Answers came after {took.total / 1000:.1f} s at the median; most of it was"
        f" {_STAGES[longest]} ({stages[longest] / 1000:.1f} s)."
    ]


def _line(record: CallRecord) -> list[str]:
    line = record.quality
    if line is None:
        return []
    found = []
    between = "between LiveKit and the agent"
    if line.lost_percent > MISSING_PERCENT:
        found.append(f"{line.lost_percent:.1f} % of the caller's packets were lost {between}.")
    elif line.concealed_percent > MISSING_PERCENT:
        found.append(
            f"{line.concealed_percent:.1f} % of the caller's sound came too late to be heard, and"
            " no packet was lost: look at the load of the agent's and of LiveKit's machine."
        )
    if line.sent_lost_percent > MISSING_PERCENT:
        found.append(f"{line.sent_lost_percent:.1f} % of the agent's packets were lost {between}.")
    if line.jitter_ms > JITTER_MS:
        found.append(
            f"Packets came unsteadily {between} (jitter {line.jitter_ms:.0f} ms): a full link, or"
            " a machine with too many calls."
        )
    if line.round_trip_ms is not None and line.round_trip_ms > ROUND_TRIP_MS:
        found.append(
            f"Agent and LiveKit are {line.round_trip_ms:.0f} ms apart and back: run them in one"
            " region."
        )
    return found
