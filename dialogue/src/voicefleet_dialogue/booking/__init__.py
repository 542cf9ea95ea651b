"""Availability and bookings: one client's calendar in a folder of iCalendar files."""

from voicefleet_dialogue.booking.bookings import DEFAULT_RULES, Bookings

__all__ = ["DEFAULT_RULES", "Bookings"]
