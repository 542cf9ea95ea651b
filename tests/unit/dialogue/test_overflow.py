"""The overflow agent's talk: a message and nothing else, whatever the caller wants."""

from __future__ import annotations

import pytest

from support.dialogues import CONTACT, say, talk
from voicefleet_api.calls import Message
from voicefleet_dialogue.acts import Act, End, Say, Transfer
from voicefleet_dialogue.dialogue import Dialogue

pytestmark = pytest.mark.unit

CALLER = "+14155550142"
GREETING = "I can take a message. What would you like me to pass on?"


def begun(*, contacts: tuple[dict[str, str], ...] = ()) -> Dialogue:
    """A dentist's, who has nobody to connect to unless said otherwise."""
    dialogue, _ = talk(
        "dentist",
        caller=CALLER,
        overflow=True,
        greeting=GREETING,
        contacts=contacts,
        facts=[],
        questions=[],
    )
    return dialogue


def words(acts: object) -> list[str]:
    assert isinstance(acts, (list, tuple))
    return [act.text for act in acts if isinstance(act, Say)]


def ends(acts: object) -> list[Act]:
    assert isinstance(acts, (list, tuple))
    return [act for act in acts if not isinstance(act, Say)]


def test_what_is_said_first_is_the_message_and_the_call_ends_with_it() -> None:
    dialogue = begun()
    assert dialogue.state.last == GREETING
    for heard in ("I'd like to book a cleaning for next Tuesday at ten.", "Susan Miller", "No."):
        acts = say(dialogue, heard)
    assert words(acts)[-1].startswith("I have your message, from Susan Miller")
    acts = say(dialogue, "Yes.")
    assert words(acts) == ["Thank you. I will pass it on. Goodbye."]
    assert ends(acts) == [End("message taken")]
    assert dialogue.outcome.result == "Message"
    assert dialogue.outcome.appointments == []
    assert dialogue.outcome.messages == [
        Message(
            text="I'd like to book a cleaning for next Tuesday at ten.",
            name="Susan Miller",
            phone=CALLER,
        )
    ]


@pytest.mark.parametrize("heard", ["Are you open on Monday?", "How much is a cleaning?"])
def test_a_question_is_passed_on_and_not_answered(heard: str) -> None:
    dialogue = begun()
    assert words(say(dialogue, heard)) == ["May I have your name, please?"]
    assert dialogue.state.message == heard


def test_an_emergency_comes_first_and_what_follows_is_a_message() -> None:
    dialogue = begun()
    acts = say(dialogue, "I can't breathe!")
    assert dialogue.outcome.result == "Emergency"
    assert "911" in words(acts)[0]
    acts = say(dialogue, "I want to book a cleaning")
    assert words(acts) == ["What would you like me to pass on?"]


def test_who_is_nobody_connected_with_leaves_a_message() -> None:
    dialogue = begun(contacts=(CONTACT,))
    say(dialogue, "My crown has come off and I need somebody to look at it.")
    assert ends(say(dialogue, "Can I talk to a person?")) == [
        Transfer(CONTACT["phone"], "Can I talk to a person?")
    ]
    acts = dialogue.unreached("Can I talk to a person?")
    assert words(acts) == [
        "I can't connect you to anyone right now, but I can take a message.",
        "May I have your name, please?",
    ]
    assert dialogue.state.message.startswith("My crown")


def test_a_silent_caller_s_words_are_passed_on() -> None:
    dialogue = begun()
    say(dialogue, "Please call me back about my bill.")
    for _ in range(3):
        dialogue.commit(dialogue.silent())
    [message] = dialogue.outcome.messages
    assert (message.text, message.phone) == ("Please call me back about my bill.", CALLER)
