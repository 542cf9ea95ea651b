"""Booking, moving and cancelling: questions, a time, read-back, and only then the calendar."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time, timedelta

from voicefleet_api.professions import AppointmentType, Question
from voicefleet_dialogue import messages, speaking
from voicefleet_dialogue.frame import Frame
from voicefleet_dialogue.locale import Locale
from voicefleet_dialogue.questions import DATE, TIME
from voicefleet_dialogue.replies import reply
from voicefleet_dialogue.state import Book, State, Turn
from voicefleet_dialogue.understanding.answers import ordinal, yes_or_no
from voicefleet_dialogue.understanding.heard import Heard
from voicefleet_dialogue.understanding.when import When

OFFERS = 3
_LATEST = 400
"""Starts looked at to find the nearest ones."""


def spoken_choices(question: Question, locale: Locale) -> str:
    """a, b or c."""
    return speaking.join(question.choices, str(locale.data["say"]["or"]))


def proceed(frame: Frame, state: State, before: str = "") -> Turn:
    """Ask the next unanswered question; then settle the time; then read it all back."""
    if state.task == "Message":
        return messages.proceed(frame, state, before)
    for question in frame.questions.items:
        if question.key in state.slots or question.key in (DATE, TIME):
            continue
        if question.key in state.passed or (not question.required and question.key in state.put):
            continue
        then = replace(
            state, phase="Asking", asked=question.key, put=state.put | {question.key}, misses=0
        )
        return reply(then, before, _spoken(question))
    return settle(frame, replace(state, asked=None), before)


def _spoken(question: Question) -> str:
    return question.text


def _kind(frame: Frame, state: State) -> AppointmentType:
    if state.task == "Reschedule" and state.found:
        old = state.found[0]
        named = next((k for k in frame.kinds if k.title == old.title), frame.kinds[0])
        minutes = int((old.ends - old.starts).total_seconds() // 60)
        return named.model_copy(update={"minutes": minutes})
    chosen = [state.slots.get(q.key, "") for q in frame.questions.items if q.slot == "Choice"]
    return frame.kind(" ".join([state.said, *chosen]))


def settle(frame: Frame, state: State, before: str = "") -> Turn:
    """A free start that the caller has named is read back; else some are offered."""
    wish = state.wish
    if wish.day and wish.until is None and wish.at:
        starts = datetime.combine(wish.day, wish.at, frame.zone)
        if frame.calendar.is_free(_kind(frame, state), starts):
            return confirm(frame, replace(state, starts=starts), before)
        refusal = _refusal(frame, starts)
        return offer(frame, replace(state, wish=wish), f"{before} {refusal}".strip())
    if wish.part or wish.soonest or wish.until or (wish.day and state.phase != "Asking"):
        return offer(frame, state, before)
    if not wish:
        key = "ask_new_when" if state.task == "Reschedule" else "ask_when"
    elif wish.day:
        key = "ask_time"
    else:
        key = "ask_day"
    return reply(replace(state, phase="When", asked=None), before, frame.locale.say(key))


def _refusal(frame: Frame, starts: datetime) -> str:
    """Why that start may not be offered."""
    locale, now = frame.locale, frame.now()
    if starts <= now:
        return locale.say("too_soon")
    if starts > now + timedelta(days=frame.horizon_days):
        return locale.say("too_far")
    if not frame.knowledge.opens(starts.date(), starts.time()):
        return locale.say("closed")
    return locale.say("taken", time=speaking.moment(starts, locale))


def offer(frame: Frame, state: State, before: str = "") -> Turn:
    """Free starts nearest to the wish."""
    locale = frame.locale
    starts = nearest(frame, state)
    if not starts:
        then = replace(state, phase="When", wish=When(), offers=())
        return reply(then, before, locale.say("none_free"), locale.say("ask_other_when"))
    then = replace(state, phase="Offering", offers=tuple(starts))
    key = "offer_one" if len(starts) == 1 else "offer"
    return reply(then, before, locale.say(key, times=speaking.moments(starts, locale)))


def nearest(frame: Frame, state: State) -> list[datetime]:
    """At most three, in order: of the day wished for, else of the days after it."""
    wish, kind, now = state.wish, _kind(frame, state), frame.now()
    begin = now
    if wish.day:
        begin = max(now, datetime.combine(wish.day, time(), frame.zone))
    end = now + timedelta(days=frame.horizon_days)
    if wish.day:
        last = wish.until or wish.day
        close = datetime.combine(last + timedelta(days=1), time(), frame.zone)
        found = _fitting(frame, kind, begin, close, wish)
        if found:
            return found
    return _fitting(frame, kind, begin, end, wish) or _fitting(
        frame, kind, begin, end, replace(wish, part=None, at=None)
    )


def _fitting(
    frame: Frame, kind: AppointmentType, begin: datetime, end: datetime, wish: When
) -> list[datetime]:
    if begin >= end:
        return []
    found = frame.calendar.free(kind, begin, end, limit=_LATEST)
    if wish.part:
        found = [s for s in found if wish.part[0] <= s.time() < wish.part[1]]
    if not found:
        return []
    if wish.at is None:
        # Some hours apart, so that the choice is one.
        spread = [found[0]]
        for start in found[1:]:
            if start - spread[-1] >= timedelta(hours=2):
                spread.append(start)
        return spread[:OFFERS]
    first = found[0].date()
    same = [s for s in found if s.date() == (wish.day if wish.day in {f.date() for f in found}
            else first)]  # fmt: skip
    target = wish.at
    same.sort(key=lambda s: abs(_minutes(s.time()) - _minutes(target)))
    return sorted(same[:OFFERS])


def _minutes(at: time) -> int:
    return at.hour * 60 + at.minute


def confirm(frame: Frame, state: State, before: str = "") -> Turn:
    """Name, number and time are read back before anything is done."""
    locale = frame.locale
    assert state.starts is not None
    at = speaking.moment(state.starts, locale)
    then = replace(state, phase="Confirming", asked=None, wish=replace(state.wish, soonest=False))
    if state.task == "Reschedule":
        return reply(then, before, locale.say("confirm_move", time=at))
    name = state.slots.get(frame.questions.name, "")
    number = state.slots.get(frame.questions.phone)
    back = (
        locale.say("read_back", name=name, phone=speaking.phone(number))
        if number and number.startswith("+")
        else locale.say("read_back_name", name=name)
    )
    title = _kind(frame, state).title
    asked = frame.confirmation.replace("{appointment}", title).replace("{time}", at)
    return reply(then, before, back, asked)


# --- answers -----------------------------------------------------------------------------------


def when(frame: Frame, state: State, heard: Heard) -> Turn | None:
    """A day, a time, or both."""
    told = aside(frame, state, heard)
    if told is not None:
        return told
    wish = heard.when(frame, bare=True)
    if not wish:
        return None
    return settle(frame, replace(wished(frame, state, wish.over(state.wish)), misses=0))


def wished(frame: Frame, state: State, wish: When) -> State:
    """The wish kept, also as the answers to the profession's questions for day and time."""
    slots = dict(state.slots)
    keys = {question.key for question in frame.questions.items}
    if DATE in keys and wish.day and wish.until is None:
        slots[DATE] = wish.day.isoformat()
    if TIME in keys and wish.at:
        slots[TIME] = wish.at.isoformat("minutes")
    return replace(state, wish=wish, slots=slots)


def aside(frame: Frame, state: State, heard: Heard) -> Turn | None:
    """A question about the business in between."""
    from voicefleet_dialogue import policy  # the two call one another

    if heard.question and not heard.when(frame):
        return policy.inform(frame, state, heard)
    return None


def offering(frame: Frame, state: State, heard: Heard) -> Turn | None:
    """One of the offered times, or another wish."""
    told = aside(frame, state, heard)
    if told is not None:
        return told
    locale = frame.locale
    # "The first one" is none of the month.
    index = ordinal(heard.digits, len(state.offers), locale)
    by_place = index is not None and not locale.matches(heard.digits, "day_named")
    chosen = state.offers[index or 0] if by_place else _of_offers(frame, state, heard)
    if chosen is not None:
        return confirm(frame, wished(frame, replace(state, starts=chosen, misses=0), When(
            day=chosen.date(), at=chosen.time())))  # fmt: skip
    wish = heard.when(frame, bare=True)
    if wish:
        day_only = wish.day and not (wish.at or wish.part)
        base = When() if day_only or wish.soonest else state.wish
        return settle(frame, replace(wished(frame, state, wish.over(base)), phase="Offering"))
    yes = yes_or_no(heard.digits, locale)
    if yes and len(state.offers) == 1:
        return confirm(frame, replace(state, starts=state.offers[0], misses=0))
    if yes:
        times = speaking.moments(state.offers, locale)
        return reply(replace(state, misses=0), locale.say("offer", times=times))
    if yes is False:
        then = replace(state, phase="When", wish=When(), offers=(), misses=0)
        return reply(then, locale.say("ask_other_when"))
    return None


def _of_offers(frame: Frame, state: State, heard: Heard) -> datetime | None:
    """The only offered start that fits the words: "eleven", "the Wednesday one"."""
    wish = heard.when(frame, bare=True)
    if not (wish.day or wish.at or wish.part):
        return None
    fits = [
        start
        for start in state.offers
        if (wish.day is None or start.date() == wish.day or _same_weekday(start, wish, heard))
        and (wish.at is None or start.time() == wish.at)
        and (wish.part is None or wish.part[0] <= start.time() < wish.part[1])
    ]
    return fits[0] if len(fits) == 1 else None


def _same_weekday(start: datetime, wish: When, heard: Heard) -> bool:
    return wish.day is not None and wish.until is None and start.weekday() == wish.day.weekday()


def booked(frame: Frame, state: State) -> Turn:
    """It was read back and is right: into the calendar."""
    assert state.starts is not None
    kind = _kind(frame, state)
    texts = {q.key: q for q in frame.questions.items}
    notes = "\n".join(
        f"{key}: {value}"
        for key, value in state.slots.items()
        if key in texts and key not in (frame.questions.name, frame.questions.phone)
    )
    number = state.slots.get(frame.questions.phone)
    effect = Book(
        kind,
        state.starts,
        name=state.slots.get(frame.questions.name, ""),
        phone=number if number and number.startswith("+") else frame.caller,
        notes=notes,
    )
    words = frame.locale.say(
        "booked", appointment=kind.title, time=speaking.moment(state.starts, frame.locale)
    )
    return replace(reply(done(state), words), effects=(effect,), result="Booked")


def done(state: State) -> State:
    """Ready for the next thing; who calls stays known."""
    return replace(
        state, phase="Listening", task=None, wish=When(), offers=(), said="", starts=None,
        found=(), asked=None,
    )  # fmt: skip


def taken(frame: Frame, state: State) -> Turn:
    """Between the read-back and the yes somebody else was quicker."""
    return offer(frame, state, frame.locale.say("just_taken"))
