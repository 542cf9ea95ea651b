"""What is said and done next: pure functions of the talk so far and of what was heard."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from voicefleet_api.professions import Question
from voicefleet_dialogue import appointments, confirming, existing, memory, messages
from voicefleet_dialogue.acts import Act, End, Say, Transfer
from voicefleet_dialogue.escalation import escalate
from voicefleet_dialogue.frame import Frame
from voicefleet_dialogue.questions import DATE, TIME
from voicefleet_dialogue.replies import ended, reply
from voicefleet_dialogue.state import State, TakeMessage, Turn
from voicefleet_dialogue.understanding import contact
from voicefleet_dialogue.understanding.answers import yes_or_no
from voicefleet_dialogue.understanding.heard import Heard, answer
from voicefleet_dialogue.understanding.names import find_name


def opening(frame: Frame) -> Turn:
    """The greeting, in the client's words; before it that the call is recorded, where it is.

    An overflow agent's asks for the message.
    """
    words = tuple(Say(text, "Facts") for text in frame.config.opening)
    begun = State(last=frame.config.greeting)
    if frame.config.overflow:
        begun = replace(begun, phase="Message", task="Message", asked="message")
    return Turn(words, begun)


def decide(frame: Frame, state: State, heard: Heard) -> Turn | None:
    """The answer where grammar is sure of what was said; None where it is not."""
    if heard.emergency is not None:
        return escalate(frame, state, heard, heard.emergency)
    state = replace(state, silences=0)
    if state.phase == "Ended":
        return ended(frame, state)
    if (turn := _at_any_time(frame, state, heard)) is not None:
        return turn
    return _BY_PHASE[state.phase](frame, state, heard)


def is_open(frame: Frame, state: State, heard: Heard) -> bool:
    """Whether a language model may know what was meant.

    Names and numbers are not guessed. A yes, or one of a few things, is asked for again first:
    that takes less time than the model.
    """
    if heard.question or state.phase in ("Listening", "Emergency"):
        return True
    if state.phase == "Confirming":
        return state.misses > 0
    if state.phase != "Asking" or state.asked is None:
        return False
    question = frame.question(state.asked)
    if question.slot == "Choice" and _something_else(question):
        return True
    return question.slot in ("YesNo", "Choice") and state.misses > 0


# --- what may come at any time -----------------------------------------------------------------


def _at_any_time(frame: Frame, state: State, heard: Heard) -> Turn | None:
    locale, intents = frame.locale, heard.intents
    text_wanted = state.phase == "Message" and not state.message
    if "Repeat" in intents and len(heard.words.split()) <= 8:
        return reply(state, state.last or locale.say("how_help"))
    if "Wait" in intents and len(heard.words.split()) <= 8:
        return reply(state, locale.say("wait"), keep=True)
    if "Robot" in intents:
        return reply(
            state, locale.say("robot", business=frame.config.business_name), again(frame, state)
        )
    if "Human" in intents and not text_wanted:
        return person(frame, state, heard)
    if "Message" in intents and state.task != "Message" and not _answers_text(frame, state, heard):
        return messages.begin(frame, state, heard)
    leaves = any(locale.matches(heard.digits, key) for key in ("leaving", "called_off"))
    # "… oh one four bye" is a number that ends with five.
    if leaves and not text_wanted and not contact.find_phone(heard.words, locale):
        return _parting(frame, state, heard)
    if "Goodbye" in intents and state.phase in ("Listening", "Emergency"):
        return _parting(frame, state, heard)
    return None


def _parting(frame: Frame, state: State, heard: Heard) -> Turn:
    """Goodbye. Of a caller who has only been greeted it may be a word misheard, in noise or in the
    wish itself: a wish counts more, and without one they are asked, unless they say why they go."""
    if not _only_greeted(frame, state) or frame.locale.matches(heard.digits, "called_off"):
        return ended(frame, state)
    return _wish(frame, state, heard) or reply(state, frame.locale.say("before_you_go"))


def _only_greeted(frame: Frame, state: State) -> bool:
    """Whether nothing was said to the caller but the greeting, and prompts."""
    return state.last == frame.config.greeting and not state.offered_message


def _answers_text(frame: Frame, state: State, heard: Heard) -> bool:
    return (
        state.asked is not None
        and frame.question(state.asked).slot == "Text"
        and not heard.question
    )


def person(frame: Frame, state: State, heard: Heard) -> Turn:
    """To a contact that is there, else a message."""
    reached = frame.contact()
    if reached is None:
        return _nobody(frame, state)
    words = frame.locale.say("connecting")
    then = replace(state, phase="Ended", last=words)
    return Turn(
        (Say(words, "Program"), Transfer(reached.phone, heard.raw)), then, result="Transferred"
    )


def _nobody(frame: Frame, state: State) -> Turn:
    then = replace(state, phase="Message", task="Message", asked=None)
    return messages.proceed(frame, then, before=frame.locale.say("nobody_there"))


def unreached(frame: Frame, state: State, reason: str) -> Turn:
    """Nobody took the call that was to be transferred for that reason: a message instead."""
    if state.urgent:
        then = replace(state, phase="Message", task="Message", message=reason)
        return messages.proceed(frame, then, before=frame.locale.say("unreached_urgent"))
    if frame.config.overflow:
        return _nobody(frame, state)
    then = replace(state, phase="Listening", task=None, asked=None, offered_message=True)
    return reply(then, frame.locale.say("unreached"))


def again(frame: Frame, state: State) -> str:
    """The question that waits for an answer, after something else was said in between."""
    locale = frame.locale
    if state.phase == "Asking" and state.asked:
        return frame.question(state.asked).text
    if state.phase == "Listening":
        return locale.say("else")
    return state.last


def inform(frame: Frame, state: State, heard: Heard) -> Turn | None:
    """From the client's facts and hours, word for word; None where they say nothing about it."""
    locale = frame.locale
    if "Hours" in heard.intents:
        day = heard.when(frame).day
        hours = Say(frame.knowledge.spoken_hours(day), "Facts")
        return _then(state, (hours,), again(frame, state))
    facts = frame.knowledge.find(heard.digits)
    if facts:
        told = tuple(Say(fact.text, "Facts") for fact in facts)
        return _then(state, told, again(frame, state))
    if locale.matches(heard.digits, "about_price"):
        then = replace(state, offered_message=True)
        return reply(then, locale.say("no_price"), keep=True)
    return None


def _then(state: State, told: Sequence[Act], question: str) -> Turn:
    spoken = " ".join([*(act.text for act in told if isinstance(act, Say)), question])
    then = replace(state, misses=0, last=spoken, offered_message=False, unheard="")
    result = "Answered" if state.task is None else None
    return Turn((*told, Say(question, "Program")), then, result=result)  # type: ignore[arg-type]


def unknown(frame: Frame, state: State) -> Turn:
    """An open question that neither facts nor model answer."""
    key = "not_known" if frame.contact() else "not_known_plain"
    return reply(replace(state, offered_message=True), frame.locale.say(key), keep=True)


# --- listening for what the caller wants -------------------------------------------------------


def _listening(frame: Frame, state: State, heard: Heard) -> Turn | None:
    locale = frame.locale
    yes = yes_or_no(heard.digits, locale)
    if state.offered_message and yes is not None and len(heard.words.split()) <= 6:
        if yes:
            return messages.begin(frame, replace(state, offered_message=False), heard, text=False)
        return reply(replace(state, offered_message=False), locale.say("else"))
    greeted = _only_greeted(frame, state)
    state = replace(state, offered_message=False)
    if (turn := _wish(frame, state, heard)) is not None or heard.question:
        return turn
    if yes is not None and len(heard.words.split()) <= 5:
        if not yes:
            return _parting(frame, state, heard)
        if greeted:
            # "Would you like to book a visit?" stands in many greetings.
            return start_booking(frame, state, heard)
        return reply(state, locale.say("how_help"))
    when = heard.when(frame)
    if when.day or when.at:
        return start_booking(frame, state, heard)
    return None


def _wish(frame: Frame, state: State, heard: Heard) -> Turn | None:
    """What the caller wants, where the words name it."""
    locale = frame.locale
    if "Cancel" in heard.intents:
        return existing.find(frame, memory.remember(frame, state, heard), heard, "Cancel")
    if "Reschedule" in heard.intents:
        return existing.find(frame, memory.remember(frame, state, heard), heard, "Reschedule")
    if "Hours" in heard.intents:
        return inform(frame, state, heard)
    wants = "Book" in heard.intents
    informs = any(locale.matches(heard.digits, key) for key in ("about_price", "asks_whether"))
    if heard.question and (informs or not wants):
        told = inform(frame, state, heard)
        if told is not None:
            return told
    whether = heard.question and locale.matches(heard.digits, "asks_whether")
    if (wants and not whether) or (not heard.question and memory.names_service(frame, heard)):
        return start_booking(frame, state, heard)
    if not heard.question and frame.knowledge.find(heard.digits):
        return inform(frame, state, heard)
    return None


def start_booking(frame: Frame, state: State, heard: Heard) -> Turn:
    """Keep all that was said, then ask what is missing."""
    then = replace(state, task="Book", said=f"{state.said} {heard.digits}".strip())
    then = memory.remember(frame, then, heard)
    return appointments.proceed(frame, then)


# --- the questions of the list -----------------------------------------------------------------


def _asking(frame: Frame, state: State, heard: Heard) -> Turn | None:
    assert state.asked is not None
    question = frame.question(state.asked)
    if question.slot != "Text" or heard.question:
        for intent in ("Cancel", "Reschedule"):
            if intent in heard.intents and question.slot not in ("Text", "Choice"):
                return existing.find(frame, state, heard, intent)
        told = inform(frame, state, heard) if heard.question else None
        if told is not None and answer(heard, question, frame) is None:
            return told
        if told is not None and question.slot in ("Text", "YesNo", "Choice"):
            return told
    value = answer(heard, question, frame)
    corrected = _corrected(frame, state, heard, question) if heard.correction else None
    if corrected is not None:
        return appointments.proceed(frame, corrected)
    if value is None:
        if not question.required and yes_or_no(heard.digits, frame.locale) is False:
            value = "no"
        elif question.slot == "Choice" and state.misses:
            value = _something_else(question)
        elif question.slot in ("Address", "Name") and state.misses >= 2:
            value = heard.raw.strip(" .")
    if value is None:
        return _volunteered(frame, state, heard, question)
    return accept(frame, state, heard, value)


def _volunteered(frame: Frame, state: State, heard: Heard, asked: Question) -> Turn | None:
    """Not what was asked for, but something else that is wanted: take it, and ask once more."""
    then = memory.volunteered(frame, state, heard)
    if then is None:
        return None
    if asked.key in state.again and not _essential(frame, asked):
        then = replace(then, passed=then.passed | {asked.key})
    else:
        then = replace(then, again=then.again | {asked.key})
    return appointments.proceed(frame, then, frame.locale.say("noted"))


def _essential(frame: Frame, question: Question) -> bool:
    """Whether nothing can be booked without it."""
    return question.key in (frame.questions.name, frame.questions.phone, DATE, TIME)


def accept(frame: Frame, state: State, heard: Heard, value: str) -> Turn:
    """The asked question is answered; go on."""
    assert state.asked is not None
    question = frame.question(state.asked)
    slots = {**state.slots, question.key: value}
    then = replace(state, slots=slots, misses=0, asked=None)
    if question.slot in ("Choice", "Text") and value not in ("none", "no"):
        then = replace(then, said=f"{then.said} {heard.digits} {value}".strip())
    if question.key == DATE:
        when = heard.when(frame)
        then = replace(then, wish=when.over(then.wish))
        if when.at:
            memory.set_if_asked(frame, slots, TIME, when.at.isoformat("minutes"))
    elif question.key == TIME:
        then = replace(then, wish=heard.when(frame, bare=True).over(then.wish))
    elif question.slot not in ("Name", "Date", "Time", "Phone", "Number", "Address"):
        then = memory.remember(frame, then, heard)
    return appointments.proceed(frame, then)


def _something_else(question: Question) -> str | None:
    """The last choice, where it stands for all that is not named."""
    last = question.choices[-1]
    return last if "else" in last or "otra" in last else None


def _corrected(frame: Frame, state: State, heard: Heard, asked: Question) -> State | None:
    """The caller takes back something said before: "no, I meant Thursday"."""
    slots = dict(state.slots)
    when = heard.when(frame)
    changed = False
    if state.wish and when and asked.slot not in ("Date", "Time"):
        state = replace(state, wish=when.amending(state.wish))
        if when.day:
            memory.set_if_asked(frame, slots, DATE, when.day.isoformat())
        if when.at:
            memory.set_if_asked(frame, slots, TIME, when.at.isoformat("minutes"))
        changed = True
    name = find_name(heard.words, frame.locale, asked=False, raw=heard.raw)
    if name and frame.questions.name in slots and asked.slot != "Name":
        slots[frame.questions.name] = name
        changed = True
    phone = contact.find_phone(heard.words, frame.locale)
    if phone and frame.questions.phone in slots and asked.slot != "Phone":
        slots[frame.questions.phone] = phone
        changed = True
    return replace(state, slots=slots) if changed else None


# --- not understood ----------------------------------------------------------------------------


def missed(frame: Frame, state: State, heard: Heard) -> Turn:
    """Ask in another way; then offer a person or a message; then take a message."""
    locale = frame.locale
    if heard.question and state.phase in ("Listening", "Emergency"):
        return unknown(frame, state)
    state = replace(state, misses=state.misses + 1)
    if state.misses >= 2 and state.phase == "Asking" and state.asked is not None:
        question = frame.question(state.asked)
        if not _essential(frame, question):
            then = replace(state, passed=state.passed | {question.key}, misses=0)
            return appointments.proceed(frame, then, locale.say("pass_over"))
    if state.misses >= 3:
        if state.task == "Message":
            return messages.give_up(frame, state)
        then = replace(state, phase="Message", task="Message", asked=None, misses=0)
        then = replace(then, message=f"({heard.raw})" if not then.message else then.message)
        return messages.proceed(frame, then, before=locale.say("miss_last"))
    first = locale.say("miss_first" if state.misses == 1 else "miss_second")
    return reply(state, first, _hint(frame, state), keep=True)


def _hint(frame: Frame, state: State) -> str:
    """The open question in other words."""
    locale = frame.locale
    if state.phase == "Asking" and state.asked:
        question = frame.question(state.asked)
        choices = appointments.spoken_choices(question, locale)
        return f"{question.text} {locale.say(f'hint_{question.slot}', choices=choices)}"
    hints: Mapping[str, str] = {
        "When": "ask_when", "Listening": "help", "Confirming": "hint_YesNo",
        "Changing": "no_change", "Finding": "hint_Name", "Emergency": "how_help",
    }  # fmt: skip
    if state.phase == "Finding" and state.asked:
        return locale.say("hint_Phone" if state.asked == frame.questions.phone else "hint_Name")
    if state.phase == "Message":
        return messages.question(frame, state)
    if state.phase in hints:
        return locale.say(hints[state.phase])
    return state.last


def silent(frame: Frame, state: State) -> Turn:
    """Two prompts, then what is known as a message, and goodbye."""
    locale = frame.locale
    state = replace(state, silences=state.silences + 1)
    if state.silences <= 2:
        if state.silences == 1:
            return reply(state, locale.say("still_there"), keep=True)
        menu = locale.say("menu") if state.phase == "Listening" else ""
        return reply(state, locale.say("silent_again"), menu, keep=True)
    known = messages.Caller.of(frame, state)
    text = state.message or " ".join(filter(None, (state.said, *map(str, state.slots.values()))))
    effects = (
        (TakeMessage(text, known.name, known.phone, state.urgent),)
        if text and state.task is not None
        else ()
    )
    words = locale.say("silent_end")
    then = replace(state, phase="Ended", last=words)
    return Turn((Say(words, "Program"), End("caller silent")), then, effects)


def _emergency(frame: Frame, state: State, heard: Heard) -> Turn | None:
    """After the caller was sent to the emergency services: whatever else they want."""
    if frame.config.overflow:
        return messages.begin(frame, state, heard)
    return _listening(frame, replace(state, phase="Listening"), heard)


_BY_PHASE: Mapping[str, Callable[[Frame, State, Heard], Turn | None]] = {
    "Listening": _listening,
    "Asking": _asking,
    "When": appointments.when,
    "Offering": appointments.offering,
    "Confirming": confirming.confirming,
    "Changing": confirming.changing,
    "Finding": existing.finding,
    "Choosing": existing.choosing,
    "Message": messages.taking,
    "Emergency": _emergency,
}
