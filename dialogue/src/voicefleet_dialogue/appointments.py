"""Booking, moving and cancelling: questions, a time, read-back, and only then the calendar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, time, timedelta

from voicefleet_api.professions import AppointmentType, Question
from voicefleet_dialogue import messages, speaking
from voicefleet_dialogue.acts import Say
from voicefleet_dialogue.calendar import Appointment
from voicefleet_dialogue.frame import Frame
from voicefleet_dialogue.locale import Locale
from voicefleet_dialogue.questions import DATE, TIME
from voicefleet_dialogue.replies import reply
from voicefleet_dialogue.state import Book, Drop, Move, State, Task, Turn
from voicefleet_dialogue.understanding import contact
from voicefleet_dialogue.understanding.answers import ordinal, yes_or_no
from voicefleet_dialogue.understanding.heard import Heard, answer
from voicefleet_dialogue.understanding.names import find_name
from voicefleet_dialogue.understanding.when import When

OFFERS = 3
_SHORT = 4
"""Words of an answer; what is longer adds to the message."""
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
    return frame.kind(state.said)


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
    told = _aside(frame, state, heard)
    if told is not None:
        return told
    wish = heard.when(frame, bare=True)
    if not wish:
        return None
    return settle(frame, replace(_wished(frame, state, wish.over(state.wish)), misses=0))


def _wished(frame: Frame, state: State, wish: When) -> State:
    slots = dict(state.slots)
    keys = {question.key for question in frame.questions.items}
    if DATE in keys and wish.day and wish.until is None:
        slots[DATE] = wish.day.isoformat()
    if TIME in keys and wish.at:
        slots[TIME] = wish.at.isoformat("minutes")
    return replace(state, wish=wish, slots=slots)


def _aside(frame: Frame, state: State, heard: Heard) -> Turn | None:
    """A question about the business in between."""
    from voicefleet_dialogue import policy  # the two call one another

    if heard.question and not heard.when(frame):
        return policy.inform(frame, state, heard)
    return None


def offering(frame: Frame, state: State, heard: Heard) -> Turn | None:
    """One of the offered times, or another wish."""
    told = _aside(frame, state, heard)
    if told is not None:
        return told
    locale = frame.locale
    # "The first one" is none of the month.
    index = ordinal(heard.digits, len(state.offers), locale)
    by_place = index is not None and not locale.matches(heard.digits, "day_named")
    chosen = state.offers[index or 0] if by_place else _of_offers(frame, state, heard)
    if chosen is not None:
        return confirm(frame, _wished(frame, replace(state, starts=chosen, misses=0), When(
            day=chosen.date(), at=chosen.time())))  # fmt: skip
    wish = heard.when(frame, bare=True)
    if wish:
        day_only = wish.day and not (wish.at or wish.part)
        base = When() if day_only or wish.soonest else state.wish
        return settle(frame, replace(_wished(frame, state, wish.over(base)), phase="Offering"))
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


def confirming(frame: Frame, state: State, heard: Heard) -> Turn | None:
    """Yes does it; what is corrected is read back again."""
    locale = frame.locale
    if state.task == "Cancel":
        return _confirm_cancel(frame, state, heard)
    yes = yes_or_no(heard.digits, locale)
    changed = _change(frame, state, heard)
    if changed is not None and not (yes and changed.wish == state.wish == heard.when(frame)):
        if state.task == "Message":
            return messages.read_back(frame, changed)
        return settle(frame, replace(changed, misses=0))
    if state.task != "Message" and (told := _aside(frame, state, heard)) is not None:
        return told
    if yes is False:
        return reply(replace(state, phase="Changing", misses=0), locale.say("no_change"))
    if not yes:
        if state.task == "Message" and len(heard.words.split()) > _SHORT:
            more = f"{state.message} {heard.raw.strip()}"
            return messages.read_back(frame, replace(state, message=more, misses=0))
        return None
    if state.task == "Message":
        return messages.confirmed(frame, state)
    if state.unheard and _details_unheard(frame, state):
        return confirm(frame, replace(state, unheard=""))
    return _moved(frame, state) if state.task == "Reschedule" else _booked(frame, state)


def _details_unheard(frame: Frame, state: State) -> bool:
    """Whether the caller cut off the very time, name or number that the yes is about."""
    assert state.starts is not None
    number = state.slots.get(frame.questions.phone, "")
    details = [speaking.clock(state.starts.time(), frame.locale)]
    details += [speaking.phone(number)] if number.startswith("+") else []
    return any(detail[-8:] in state.unheard for detail in details)


def _change(frame: Frame, state: State, heard: Heard) -> State | None:
    """Another name, number or time in the answer."""
    slots = dict(state.slots)
    if phone := contact.find_phone(heard.words, frame.locale):
        slots[frame.questions.phone] = phone
    asked = state.phase == "Changing" and state.asked == frame.questions.name
    name = find_name(heard.words, frame.locale, asked=asked, raw=heard.raw)
    if name and phone is None and (asked or heard.correction):
        slots[frame.questions.name] = name
    wish = heard.when(frame) if state.task != "Message" else When()
    if wish.day or wish.at or wish.part:
        state = _wished(frame, replace(state, slots=slots), wish.amending(state.wish))
        same = state.starts and (state.wish.day, state.wish.at) == (
            state.starts.date(), state.starts.time(),
        )  # fmt: skip
        if same and slots == dict(state.slots):
            return None
        return state
    return replace(state, slots=slots) if slots != dict(state.slots) else None


def changing(frame: Frame, state: State, heard: Heard) -> Turn | None:
    """Which part is wrong, or at once what is right."""
    changed = _change(frame, state, heard)
    if changed is None and state.asked is None:
        name = find_name(heard.words, frame.locale, asked=True)
        if name and not any(frame.locale.matches(heard.words, "which", k)
                            for k in ("name", "phone", "time")):  # fmt: skip
            changed = replace(state, slots={**state.slots, frame.questions.name: name})
    if changed is not None:
        changed = replace(changed, asked=None, misses=0)
        if state.task == "Message":
            return messages.read_back(frame, changed)
        return settle(frame, changed)
    locale = frame.locale
    for which, key in (("name", frame.questions.name), ("phone", frame.questions.phone)):
        if locale.matches(heard.words, "which", which):
            then = replace(state, asked=key, misses=0)
            return reply(then, frame.question(key).text)
    if state.task != "Message" and locale.matches(heard.words, "which", "time"):
        then = replace(state, phase="When", wish=When(), misses=0)
        return reply(then, locale.say("ask_other_when"))
    if "Cancel" in heard.intents or "Goodbye" in heard.intents or yes_or_no(
        heard.digits, locale
    ) is False:  # fmt: skip
        then = replace(state, phase="Listening", task=None, starts=None, asked=None)
        return reply(then, locale.say("kept"))
    return None


def _booked(frame: Frame, state: State) -> Turn:
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
    return replace(reply(_done(state), words), effects=(effect,), result="Booked")


def _done(state: State) -> State:
    """Ready for the next thing; who calls stays known."""
    return replace(
        state, phase="Listening", task=None, wish=When(), offers=(), said="", starts=None,
        found=(), asked=None,
    )  # fmt: skip


def taken(frame: Frame, state: State) -> Turn:
    """Between the read-back and the yes somebody else was quicker."""
    return offer(frame, state, frame.locale.say("just_taken"))


# --- appointments that exist -------------------------------------------------------------------


def find(frame: Frame, state: State, heard: Heard, task: Task) -> Turn:
    """Whose it is: by the number shown, else by name and number."""
    slots = dict(state.slots)
    if name := find_name(heard.words, frame.locale, asked=False, raw=heard.raw):
        slots[frame.questions.name] = name
    wish = heard.when(frame) if task == "Reschedule" else When()
    then = replace(state, task=task, slots=slots, wish=wish, offered_message=False)
    if frame.caller:
        found = frame.calendar.find(name=None, phone=frame.caller)
        if found:
            return _found(frame, then, found)
    return _look(frame, then)


def _look(frame: Frame, state: State) -> Turn:
    locale = frame.locale
    name = state.slots.get(frame.questions.name)
    phone = state.slots.get(frame.questions.phone)
    if name is None:
        then = replace(state, phase="Finding", asked=frame.questions.name)
        return reply(then, locale.say("ask_who"))
    if phone is None:
        then = replace(state, phase="Finding", asked=frame.questions.phone)
        return reply(then, locale.say("ask_booked_phone"))
    found = frame.calendar.find(name=None, phone=phone)
    if found:
        return _found(frame, state, found)
    then = replace(state, phase="Listening", task=None, offered_message=True)
    turn = reply(then, locale.say("not_found"))
    return turn


def finding(frame: Frame, state: State, heard: Heard) -> Turn | None:
    """A name or a number to look it up by."""
    assert state.asked is not None
    value = answer(heard, frame.question(state.asked), frame)
    slots = dict(state.slots)
    if value is not None:
        slots[state.asked] = value
    phone = contact.find_phone(heard.words, frame.locale)
    if phone is not None:
        slots[frame.questions.phone] = phone
    if slots == dict(state.slots):
        return None
    return _look(frame, replace(state, slots=slots, misses=0))


def _found(frame: Frame, state: State, found: Sequence[Appointment]) -> Turn:
    locale = frame.locale
    if len(found) > 1:
        then = replace(state, phase="Choosing", found=tuple(found))
        times = speaking.moments([a.starts for a in found], locale)
        return reply(then, locale.say("found_which", times=times))
    old = found[0]
    slots = {**state.slots}
    slots.setdefault(frame.questions.name, old.name)
    then = replace(state, found=(old,), slots=slots, starts=None, asked=None)
    at = speaking.moment(old.starts, locale)
    if state.task == "Cancel":
        words = locale.say("confirm_cancel", appointment=old.title, time=at, name=old.name)
        return reply(replace(then, phase="Confirming"), words)
    if then.wish.day or then.wish.at:
        return settle(frame, then)
    return reply(
        replace(then, phase="When"), locale.say("found_move", appointment=old.title, time=at)
    )


def choosing(frame: Frame, state: State, heard: Heard) -> Turn | None:
    """Which of the caller's appointments."""
    wish = heard.when(frame, bare=True)
    fits = [
        a
        for a in state.found
        if (wish.day or wish.at)
        and (wish.day is None or a.starts.weekday() == wish.day.weekday())
        and (wish.at is None or a.starts.time() == wish.at)
    ]
    if len(fits) == 1:
        return _found(frame, replace(state, misses=0), fits)
    index = ordinal(heard.digits, len(state.found), frame.locale)
    return None if index is None else _found(frame, state, [state.found[index]])


def _confirm_cancel(frame: Frame, state: State, heard: Heard) -> Turn | None:
    locale = frame.locale
    yes = yes_or_no(heard.digits, locale)
    if yes is None and "Cancel" in heard.intents:
        yes = True
    if yes is None:
        return None
    if not yes:
        return reply(_done(state), locale.say("kept"))
    old = state.found[0]
    words = locale.say("cancelled", appointment=old.title, time=speaking.moment(old.starts, locale))
    return replace(reply(_done(state), words), effects=(Drop(old.uid),), result="Cancelled")


def _moved(frame: Frame, state: State) -> Turn:
    assert state.starts is not None
    old = state.found[0]
    words = frame.locale.say(
        "moved", appointment=old.title, time=speaking.moment(state.starts, frame.locale)
    )
    effect = Move(old.uid, state.starts)
    return replace(reply(_done(state), words), effects=(effect,), result="Rescheduled")


__all__ = ["OFFERS", "Say", "confirm", "find", "offer", "proceed", "settle", "taken"]
