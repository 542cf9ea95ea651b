"""What a caller hears and what the record says, when all goes well and when things fail.

On a clock that is a variable, so limits are exact. [docs/failures.md] names what was removed from
the agent to see each of these tests fail.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from pathlib import Path

import pytest

from support.line import WINDOW, Line, Provider, call
from voicefleet_agent import phrases
from voicefleet_agent.providers.chain import REST_SECONDS

pytestmark = pytest.mark.unit

FILLER, STILL, LONGER, AGAIN, DEAF, CONNECTING, GOODBYE = phrases.essential("en-US")
FILLERS = (FILLER, STILL, LONGER)

NO_SILENCE = 1.5
"""Seconds without a sound at most, while somebody waits."""
HOURS = "We are open Monday to Friday from 8 AM to 6 PM."
MORE = "Is there anything else I can do?"
OPEN = "do you think it takes long to heal afterwards"
LOST = "I'm sorry, I didn't catch that. Can you repeat?"
"""The dialogue's, where a model fails."""


async def one_question(line: Line) -> None:
    await line.listens()
    await line.says("When are you open?")
    await line.listens()


async def two_questions(line: Line) -> None:
    await one_question(line)
    await line.says("When are you open?")
    await line.listens()


async def open_question(line: Line) -> None:
    await line.listens()
    await line.says(OPEN)
    await line.listens()


async def three_questions(line: Line) -> None:
    await two_questions(line)
    await line.says("When are you open?")
    await line.waits(20)


# --- states and minutes ------------------------------------------------------------------------


def states(line: Line) -> list[str]:
    return [change.state for change in line.record.states]


def test_a_call_goes_through_its_states(tmp_path: Path) -> None:
    line = call(tmp_path, one_question)
    assert states(line) == [
        "Greeting", "Listening", "Processing", "Responding", "Listening", "Logging", "Ended",
    ]  # fmt: skip


def test_a_message_is_taken_in_a_state_of_its_own(tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        await line.listens()
        await line.says("Can I leave a message?")
        await line.listens()
        await line.says("The boiler in the cellar is leaking again")
        await line.listens()

    line = call(tmp_path, script)
    assert states(line)[2:6] == ["Processing", "Responding", "Voicemail", "Processing"]


def test_each_turn_stands_at_the_time_at_which_its_sound_began(tmp_path: Path) -> None:
    """Fillers too, and they count as no answer."""

    def slow(line: Line) -> None:
        line.llm[0].delay = 1.6

    line = call(tmp_path, open_question, prepare=slow)
    told = [turn for turn in line.record.transcript if turn.speaker == "Agent"]
    heard = line.heard()
    assert [turn.text for turn in told] == [text for _, _, text in heard]
    for turn, (begins, _, _) in zip(told, heard, strict=True):
        assert turn.at == pytest.approx(begins - heard[0][0], abs=0.002), turn.text
    fillers = [turn.text for turn in told if turn.filler]
    assert FILLER in fillers
    assert "Just a second, I'm looking that up." in fillers
    [answer] = [turn for turn in told if turn.latency is not None]
    assert answer.text == line.llm[0].words
    assert answer.latency is not None
    paused = line.said[-1][1] + 0.096 - heard[0][0]  # two windows of 32 ms, and what is left
    assert answer.latency.total == pytest.approx(1000 * (answer.at - paused), abs=33)


# --- transcribers ------------------------------------------------------------------------------


def nobody_hears(line: Line) -> None:
    line.stt = [Provider(line, "ear", "refuses"), Provider(line, "other", "hangs")]


@pytest.mark.parametrize("forward_to", [None, "+14155550100"])
def test_nobody_transcribes(tmp_path: Path, forward_to: str | None) -> None:
    """Asked to repeat twice, then connected with a person, or a goodbye; never left in silence."""
    line = call(tmp_path, three_questions, prepare=nobody_hears, forward_to=forward_to)
    answers = [text for text in line.texts()[1:] if text not in FILLERS]
    last = CONNECTING if forward_to else GOODBYE
    assert answers == [AGAIN, AGAIN, DEAF, last]
    assert line.silence() <= NO_SILENCE
    assert line.ending is not None
    assert line.ending.reason == "nobody transcribes"
    assert (line.ending.kind, line.ending.number) == (
        ("Transfer", forward_to) if forward_to else ("Failed", None)
    )


@pytest.mark.parametrize("does", ["refuses", "hangs"])
def test_another_transcriber_hears_the_same_words(tmp_path: Path, does: str) -> None:
    def broken(line: Line) -> None:
        line.stt = [Provider(line, "ear", does), Provider(line, "other")]

    line = call(tmp_path, two_questions, prepare=broken)
    assert line.texts()[1:].count(HOURS) == 2
    assert line.silence() <= NO_SILENCE
    assert len(line.stt[0].asked) == 1, "it did not rest"
    uses = {use.provider: use for use in line.record.providers if use.component == "STT"}
    assert (uses["ear"].failures, uses["other"].requests) == (1, 2)


def test_a_provider_is_asked_again_once_it_has_rested(tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        await two_questions(line)
        line.stt[0].does = ["works"]
        await line.says("When are you open?")
        await line.listens()
        await line.waits(5)
        await line.says("When are you open?")
        await line.listens()

    def broken(line: Line) -> None:
        line.stt = [Provider(line, "ear", "refuses"), Provider(line, "other")]

    line = call(tmp_path, script, prepare=broken)
    assert line.said[-1][0] - line.said[0][1] > REST_SECONDS
    assert (len(line.stt[0].asked), len(line.stt[1].asked)) == (2, 3)


def test_garbage_is_asked_about_and_ends_in_a_message(tmp_path: Path) -> None:
    """Words without sense, and a model that is down: no loop, no booking."""

    async def script(line: Line) -> None:
        await line.listens()
        for _ in range(8):
            await line.says("tomorrow at ten")
            await line.listens()

    def broken(line: Line) -> None:
        line.stt[0].does = ["mishears"]
        line.llm[0].does = ["refuses"]

    line = call(tmp_path, script, prepare=broken)
    assert "Voicemail" in states(line)
    assert line.dialogue.outcome.messages
    assert line.calendar.entries == []
    assert line.silence() <= NO_SILENCE


# --- models ------------------------------------------------------------------------------------


@pytest.mark.parametrize("does", ["refuses", "hangs"])
def test_a_model_that_fails_is_covered_by_a_filler_and_asks_to_repeat(
    tmp_path: Path, does: str
) -> None:
    def broken(line: Line) -> None:
        line.llm[0].does = [does]

    line = call(tmp_path, open_question, prepare=broken)
    assert line.texts()[1] == FILLER
    assert line.texts()[-1] == LOST
    assert line.silence() <= NO_SILENCE
    assert line.ending is None


def test_a_model_that_breaks_off_is_not_made_up_for(tmp_path: Path) -> None:
    """Whole sentences that came are said, half a sentence is not."""

    def broken(line: Line) -> None:
        line.llm[0].words = "It is on the third floor. Take the blue stairs behind the desk."
        line.llm[0].does = ["works", "breaks off"]

    line = call(tmp_path, open_question, prepare=broken)
    assert "It is on the third floor." in line.texts()
    assert not any("stairs" in text for text in line.texts())
    assert line.texts()[-1] == MORE


def test_a_slow_model_leaves_no_silence(tmp_path: Path) -> None:
    def slow(line: Line) -> None:
        line.llm[0].delay = 2.8

    line = call(tmp_path, open_question, prepare=slow)
    assert "It is on the third floor." in line.texts()
    assert line.silence() <= NO_SILENCE


def test_an_invented_fact_is_not_spoken(tmp_path: Path) -> None:
    def lies(line: Line) -> None:
        line.llm[0].words = "A crown costs 400 dollars."

    line = call(tmp_path, open_question, prepare=lies)
    assert not any("400" in text for text in line.texts())


# --- voices ------------------------------------------------------------------------------------


@pytest.mark.parametrize("does", ["refuses", "hangs", "breaks off", "stalls", "stutters"])
def test_another_voice_says_the_sentence(tmp_path: Path, does: str) -> None:
    def broken(line: Line) -> None:
        del line.made[HOURS]
        line.tts = [Provider(line, "voice", does), Provider(line, "other")]

    line = call(tmp_path, one_question, prepare=broken)
    assert HOURS in line.texts()
    assert line.silence() <= NO_SILENCE
    assert not any(turn.unheard for turn in line.record.transcript)


@pytest.mark.parametrize("does", [["hangs", "hangs"], ["stalls"]])
def test_a_sentence_that_is_late_is_bridged_by_a_filler(tmp_path: Path, does: list[str]) -> None:
    """Before it begins, and in the middle of it."""

    def broken(line: Line) -> None:
        del line.made[HOURS]
        line.tts = [Provider(line, f"voice {number}", what) for number, what in enumerate(does)]
        line.tts[-1].pace = 0.9
        line.tts.append(Provider(line, "other"))

    line = call(tmp_path, one_question, prepare=broken)
    spoken = line.texts()
    assert FILLER in spoken
    assert spoken.index(FILLER) < len(spoken) - 1 - spoken[::-1].index(HOURS)
    assert line.silence() <= NO_SILENCE


@pytest.mark.parametrize("does", ["refuses", "hangs", "breaks off"])
def test_a_voice_that_failed_once_does_not_end_the_call(tmp_path: Path, does: str) -> None:
    """The words stand in the record, the caller is asked to repeat, and hears them then."""

    def broken(line: Line) -> None:
        del line.made[HOURS]
        line.tts[0].does = [does, "works"]

    line = call(tmp_path, two_questions, prepare=broken)
    texts = [text for text in line.texts() if text not in FILLERS]
    assert AGAIN in texts
    assert texts[-2:] == [HOURS, MORE]
    lost, more = [turn for turn in line.record.transcript if turn.unheard]
    assert (more.text, more.unheard) == ("", MORE)
    assert f"{lost.text} {lost.unheard}".strip() == HOURS
    assert (lost.text == "") == (does != "breaks off")
    assert line.silence() <= NO_SILENCE
    assert line.ending is None


@pytest.mark.parametrize("forward_to", [None, "+14155550100"])
def test_a_voice_that_stays_away_connects_the_caller(
    tmp_path: Path, forward_to: str | None
) -> None:
    def broken(line: Line) -> None:
        del line.made[HOURS]
        line.tts[0].does = ["refuses"]

    line = call(tmp_path, three_questions, prepare=broken, forward_to=forward_to)
    assert line.ending is not None
    assert (line.ending.kind, line.ending.reason) == (
        "Transfer" if forward_to else "Failed", "no voice speaks",
    )  # fmt: skip
    assert line.texts()[-1] == (CONNECTING if forward_to else GOODBYE)
    assert [turn.unheard for turn in line.record.transcript].count(HOURS) == 3


def test_where_nothing_at_all_can_be_said_the_caller_is_connected_at_once(tmp_path: Path) -> None:
    def broken(line: Line) -> None:
        line.made.clear()
        line.tts[0].does = ["hangs"]

    line = call(tmp_path, three_questions, prepare=broken, forward_to="+14155550100")
    assert line.texts() == []
    assert [turn.speaker for turn in line.record.transcript] == ["Agent"]
    assert line.ending is not None
    assert line.ending.number == "+14155550100"


@pytest.mark.parametrize(
    ("words", "number"),
    [("my tooth fell out", "+14155550177"), ("I can't breathe", "+14155550100")],
)
def test_an_emergency_is_escalated_without_a_voice(tmp_path: Path, words: str, number: str) -> None:
    """The one by a transfer, the other by telling the caller what to do, which nobody can say."""

    async def script(line: Line) -> None:
        await line.listens()
        line.made = {text: line.made[text] for text in phrases.essential("en-US")}
        line.tts[0].does = ["refuses"]
        await line.says(words)
        await line.waits(8)

    line = call(tmp_path, script, forward_to="+14155550100")
    assert line.ending is not None
    assert (line.ending.kind, line.ending.number) == ("Transfer", number)
    assert line.texts()[-1] == CONNECTING
    assert AGAIN not in line.texts()


def test_what_was_not_spoken_books_nothing(tmp_path: Path) -> None:
    """The voice fails at the read-back: a yes after it confirms nothing that was not heard."""

    async def script(line: Line) -> None:
        await line.listens()
        for words in (
            "I need a cleaning tomorrow at ten", "no", "yes", "Anna Miller", "May 1st 1980",
            "415 555 0142", "none",
        ):  # fmt: skip
            if words == "none":
                line.tts[0].does = ["refuses", "works"]
            await line.says(words)
            await line.listens()
        for words in ("yes", "yes"):
            assert line.calendar.entries == []
            await line.says(words)
            await line.listens()

    line = call(tmp_path, script)
    assert len(line.calendar.entries) == 1


def test_a_sentence_that_came_too_late_makes_the_next_wait_for_more(tmp_path: Path) -> None:
    """Adaptive buffering: a voice that is slower than speech makes gaps at first, then fewer."""

    async def script(line: Line) -> None:
        for _ in range(4):
            await one_question(line)

    def slow(line: Line) -> None:
        del line.made[HOURS]
        line.tts[0].pace = 1.1

    line = call(tmp_path, script, prepare=slow)
    gaps: list[int] = [0]
    for (_, ends, text), (begins, _, after) in itertools.pairwise(line.heard()):
        if text == after == HOURS and begins - ends < 1:
            gaps[-1] += 1
        elif text == HOURS:
            gaps.append(0)
    assert gaps[0] > 2
    assert gaps[:4] == sorted(gaps[:4], reverse=True)
    assert gaps[3] == 0


def test_a_switch_is_used_from_the_next_turn_and_nothing_is_forgotten(tmp_path: Path) -> None:
    """Each kind once, in a booking that goes on: what was said before is read back in the end."""

    async def script(line: Line) -> None:
        await line.listens()
        for words, kind in (
            ("I need a cleaning tomorrow at ten", "stt"),
            ("no", "tts"),
            ("yes", ""),
            ("Anna Miller", "llm"),
            (OPEN, ""),
            ("May 1st 1980", ""),
            ("415 555 0142", ""),
            ("none", ""),
            ("yes", ""),
        ):
            await line.says(words)
            await line.listens()
            if kind:
                old[kind] = list(getattr(line, kind)[0].asked)
                setattr(line, kind, [Provider(line, f"new {kind}")])

    def unmade(line: Line) -> None:
        line.made = {text: line.made[text] for text in phrases.essential("en-US")}
        first.update(stt=line.stt[0], tts=line.tts[0], llm=line.llm[0])

    old: dict[str, list[str]] = {}
    first: dict[str, Provider] = {}
    line = call(tmp_path, script, prepare=unmade)
    assert {kind: provider.asked for kind, provider in first.items()} == old
    assert len(line.stt[0].asked) == 8
    assert line.llm[0].asked
    assert [entry.name for entry in line.calendar.entries] == ["Anna Miller"]


# --- turns -------------------------------------------------------------------------------------


def test_a_barge_in_pauses_within_200_ms_and_what_was_not_heard_is_not_assumed_said(
    tmp_path: Path,
) -> None:
    async def script(line: Line) -> None:
        await line.waits(3)
        await line.says("When are you open?")
        await line.listens()

    line = call(tmp_path, script)
    greeting = line.record.transcript[0]
    (begins, ends, text), *_ = line.heard()
    assert 0 < ends - line.said[0][0] <= 0.2
    assert greeting.interrupted
    assert f"{greeting.text} {greeting.unheard}" == text
    assert len(greeting.text) == pytest.approx((ends - begins) / 0.06, abs=12)
    assert line.texts()[1] == HOURS
    assert line.record.interruptions == 1


def over_the_caller(line: Line) -> list[str]:
    """What the agent began to say while the caller was speaking."""
    return [
        text
        for begins, _, text in line.heard()
        if any(start + 0.1 < begins < end for start, end, _ in line.said)
    ]


def test_no_filler_sounds_over_a_caller_who_speaks(tmp_path: Path) -> None:
    """Neither into an interruption nor into words that go on after a pause."""
    long = "actually I wanted to ask whether you could tell me something else first"

    async def script(line: Line) -> None:
        await line.listens()
        await line.says("When are you open?")
        await line.waits(2)
        await line.says(long)
        await line.listens()
        await line.says("so I would like to")
        await line.waits(0.4)
        await line.says(long)
        await line.listens()

    assert over_the_caller(call(tmp_path, script)) == []


def test_company_is_kept_after_a_cough_too(tmp_path: Path) -> None:
    """The rest of the answer is late; the cough was into its beginning."""

    async def script(line: Line) -> None:
        await line.listens()
        await line.says("When are you open?")
        await line.waits(2)
        await line.says("", 0.2)
        await line.listens()

    def slow(line: Line) -> None:
        del line.made[MORE]
        line.tts = [Provider(line, f"voice {number}", "hangs") for number in range(4)]
        line.tts.append(Provider(line, "other"))

    line = call(tmp_path, script, prepare=slow)
    assert line.texts()[-3:-1] == [HOURS, FILLER]
    assert line.silence() <= NO_SILENCE


@pytest.mark.parametrize(("fails", "sound"), [("refuses", ""), ("works", ""), ("works", "Uh-huh.")])
def test_nobody_is_kept_company_whose_turn_it_is(tmp_path: Path, fails: str, sound: str) -> None:
    """After being asked to repeat, or after a noise or a nod into the end of the answer."""

    async def script(line: Line) -> None:
        await line.listens()
        line.stt[0].does = [fails, "works"]
        await line.says("When are you open?")
        if fails == "works":
            await line.waits(4.8)
            await line.says(sound, 0.15)
        await line.listens()
        await line.waits(5)

    line = call(tmp_path, script)
    assert line.texts()[-1] == (AGAIN if fails == "refuses" else MORE)
    assert not set(line.texts()) & set(FILLERS)


def test_a_filler_breaks_off_where_the_caller_goes_on(tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        await line.listens()
        await line.says("I need a cleaning")
        await line.waits(1.42)
        await line.says("tomorrow at ten")
        await line.listens()

    def slow(line: Line) -> None:
        line.stt[0].delay = 1.49

    line = call(tmp_path, script, prepare=slow)
    [(begins, ends, _)] = [each for each in line.heard() if each[2] == FILLER][:1]
    assert begins < line.said[1][0] < ends <= line.said[1][0] + 0.12


def test_a_caller_who_goes_on_after_being_asked_again_is_where_they_were(tmp_path: Path) -> None:
    """ "No" was not understood: what had been answered before it stays answered."""

    async def script(line: Line) -> None:
        await line.listens()
        await line.says("I need a cleaning")
        await line.listens()
        line.stt[0].does = ["refuses", "works"]
        await line.says("no")
        await line.waits(0.4)
        await line.says("no")
        await line.listens()

    line = call(tmp_path, script)
    assert AGAIN in line.texts()
    assert line.dialogue.state.slots == {"reason": "cleaning and check-up", "pain": "no"}


def test_a_cough_pauses_and_the_sentence_resumes_where_it_was(tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        await line.waits(3)
        await line.says("", 0.2)
        await line.listens()

    line = call(tmp_path, script)
    (begins, paused, _), (resumed, ends, text), *_ = line.heard()
    assert paused - line.said[0][0] <= 0.2
    assert resumed - line.said[0][0] <= 0.5 + 0.032
    whole = 0.06 * len(text)
    assert (paused - begins) + (ends - resumed) == pytest.approx(whole, abs=0.03)
    assert not line.record.transcript[0].interrupted


def test_speech_that_resumes_stops_the_answer_within_120_ms_and_is_merged(tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        await line.listens()
        await line.says("I need a cleaning")
        await line.waits(0.5)
        await line.says("tomorrow at ten in the morning")
        await line.listens()

    line = call(tmp_path, script)
    answer = line.heard()[1]
    assert 0 < answer[1] - line.said[1][0] <= 0.12
    [asked] = [turn.text for turn in line.record.transcript if turn.speaker == "Caller"]
    assert asked == "I need a cleaning tomorrow at ten in the morning"
    # The talk is where it was: the question comes as to somebody who said all of it at once.
    assert len({*line.texts()[1:]}) == 1
    assert over_the_caller(line) == []
    assert line.record.interruptions == 0


def test_a_yes_into_the_read_back_books_nothing(tmp_path: Path) -> None:
    """Its name and time had not been heard by then: they are read again."""

    async def script(line: Line) -> None:
        await line.listens()
        for words in (
            "I need a cleaning tomorrow at ten", "no", "yes", "Anna Miller", "May 1st 1980",
            "415 555 0142",
        ):  # fmt: skip
            await line.says(words)
            await line.listens()
        await line.says("none")
        await line.waits(2.5)
        await line.says("yes please")
        await line.listens()
        assert line.calendar.entries == []
        await line.says("yes")
        await line.listens()

    line = call(tmp_path, script)
    assert len(line.calendar.entries) == 1
    assert line.record.interruptions == 1


def test_silence_is_prompted_twice_and_ends_with_a_goodbye_and_a_message(tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        await line.listens()
        await line.says("I need a cleaning, my name is Anna Miller")
        await line.listens()
        await line.waits(40)

    line = call(tmp_path, script)
    assert line.ending is not None
    assert (line.ending.kind, line.ending.reason) == ("End", "caller silent")
    assert line.dialogue.outcome.messages[0].name == "Anna Miller"
    begins = [begins for begins, _, _ in line.heard()][-3:]
    assert len(set(line.texts()[-3:])) == 3
    assert all(later - earlier > 6 for earlier, later in itertools.pairwise(begins))


def test_noise_alone_is_no_turn(tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        await line.listens()
        for _ in range(3):
            await line.says("", 0.4)
            await line.waits(1.5)
        await line.waits(2)

    line = call(tmp_path, script)
    assert not [turn for turn in line.record.transcript if turn.speaker == "Caller"]
    (_, greeted, _), (prompted, _, text) = line.heard()
    assert text == "Hello, are you still there?"
    assert prompted - greeted == pytest.approx(6, abs=0.1)


# --- keys, and transfers that come to nothing ----------------------------------------------------


def test_a_key_interrupts_and_is_answered_at_once(tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        await line.waits(1)
        await line.presses("2")
        await line.listens()

    line = call(tmp_path, script)
    greeting, hours, more = line.heard()
    assert greeting[1] == pytest.approx(101, abs=0.05)
    assert (hours[2], more[2]) == (HOURS, MORE)
    assert hours[0] - greeting[1] < 0.2
    assert [turn.text for turn in line.record.transcript if turn.speaker == "Caller"] == ["[2]"]
    assert line.record.transcript[0].interrupted


async def up_to_the_number(line: Line) -> None:
    await line.listens()
    await line.says("I want to leave a message, please tell the dentist that I am late")
    await line.listens()
    await line.says("Anna Miller")
    await line.listens()


@pytest.mark.parametrize(("typed", "wait"), [("4155550134#", 0.2), ("4155550134", 3.2)])
def test_a_number_is_typed_until_the_pound_key_or_a_pause(
    tmp_path: Path, typed: str, wait: float
) -> None:
    async def script(line: Line) -> None:
        await up_to_the_number(line)
        await line.presses(typed)
        await line.waits(3)
        await line.listens()

    line = call(tmp_path, script)
    assert line.record.slots["phone"] == "+14155550134"
    assert [t.text for t in line.record.transcript if t.speaker == "Caller"][-1] == f"[{typed}]"
    begins, _, text = line.heard()[-2]
    assert "4 1 5, 5 5 5, 0 1 3 4" in text
    assert begins - line.pressed < wait


def test_who_types_is_not_taken_to_speak(tmp_path: Path) -> None:
    """The room goes on talking meanwhile."""

    async def script(line: Line) -> None:
        await up_to_the_number(line)
        for key in "4155550134":
            line.conversation.key(key)
            await line.says("and what shall we eat", 0.6)
            await line.waits(1)
        line.conversation.key("#")
        await line.listens()

    line = call(tmp_path, script)
    assert line.record.slots["phone"] == "+14155550134"
    assert not line.stt[0].asked[2:]


def test_nobody_takes_the_call_and_the_talk_goes_on(tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        await line.listens()
        await line.says("can I speak to a person")
        await line.waits(4)
        # While it rings, what is heard is not for us, and keys neither.
        for probability in [0.95] * 40 + [0.02] * 40:
            await asyncio.sleep(WINDOW)
            line.conversation.window(time.monotonic(), WINDOW, probability)
        await line.presses("1")
        await line.unreached()
        await line.listens()
        await line.says("yes please")
        await line.listens()

    line = call(tmp_path, script)
    assert line.texts()[2:] == [
        "I could not reach anyone. May I take a message?",
        "What would you like me to pass on?",
    ]
    assert line.ending is None
    assert len(line.stt[0].asked) == 2
    assert (line.record.outcome, line.record.transferred_to) == ("HungUp", None)
    assert states(line)[-3:] == ["Voicemail", "Logging", "Ended"]


def test_a_recorded_call_begins_with_saying_so(tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        await line.listens()

    line = call(tmp_path, script, disclosure="This call is recorded.")
    assert line.texts()[0] == "This call is recorded."
    assert [turn.text for turn in line.record.transcript] == line.texts()
    assert len(line.texts()) == 2


# --- a call that has lost its process ------------------------------------------------------------


def test_the_next_process_goes_on_with_the_open_question(tmp_path: Path) -> None:
    asked = "Are you in pain right now, or is there any swelling?"

    def lost(line: Line) -> None:
        line.dialogue.commit(line.dialogue.open())
        turn = line.dialogue.consider("I'd like to book a cleaning")
        assert turn is not None
        line.dialogue.commit(turn)
        line.run = lambda: line.conversation.run("lost")

    async def script(line: Line) -> None:
        await line.listens()
        await line.says("No, no pain")
        await line.listens()

    line = call(tmp_path, script, prepare=lost)
    assert line.texts()[:2] == ["I'm sorry, I lost you for a moment.", asked]
    assert line.dialogue.state.slots["pain"] == "no"


@pytest.mark.parametrize(("forward_to", "last"), [(None, GOODBYE), ("+14155550177", CONNECTING)])
def test_after_too_many_processes_the_caller_is_not_kept(
    tmp_path: Path, forward_to: str | None, last: str
) -> None:
    def lost(line: Line) -> None:
        line.run = lambda: line.conversation.give_up("agent ended")

    async def script(line: Line) -> None:
        await line.waits(20)

    line = call(tmp_path, script, prepare=lost, forward_to=forward_to)
    assert line.texts() == [DEAF, last]
    assert line.ending is not None
    assert line.ending.number == forward_to
