"""`voicefleet ab`: which of two ways of saying it makes more callers book.

Callers are dealt to the variants by their numbers, so they, not calls, are what is counted. The
verdict is by Fisher's exact test (two-sided) on the first so many callers of each, and stays: to
look after every call and stop at a good moment would find a difference where there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import comb, sqrt

from voicefleet_api.calls import CallRecord, Variant
from voicefleet_cli.calls import Portal
from voicefleet_cli.console import Exit, Output, fail, out, print_json, table

_PAGE = 500
_LIKELY = 0.05
"""Below: so seldom by chance that we speak of a difference."""
_SEEN = 2.8
"""Standard errors of a difference that four tests in five find (1.96 and 0.84, both tails)."""


@dataclass(frozen=True, slots=True)
class Tally:
    """One variant's callers, and how many of them booked."""

    callers: int
    booked: int

    @property
    def share(self) -> float:
        """Booked of all."""
        return self.booked / self.callers if self.callers else 0.0


def fisher(a: Tally, b: Tally) -> float:
    """How probable a difference as large as this, or larger, is where there is none.

    Two-sided, by the probabilities of the tables with the same sums (Fisher 1935; as R and SciPy).
    """
    callers, booked = a.callers + b.callers, a.booked + b.booked

    def ways(of_a: int) -> int:
        return comb(a.callers, of_a) * comb(b.callers, booked - of_a)

    tables = [ways(n) for n in range(max(0, booked - b.callers), min(booked, a.callers) + 1)]
    return sum(n for n in tables if n <= ways(a.booked)) / comb(callers, booked)


def count(records: Iterable[CallRecord], first: int) -> dict[Variant, Tally]:
    """Of each variant the `first` callers; one who books in any call has booked.

    Who hides their number cannot be told from others who do, and is not counted.
    """
    callers: dict[Variant, dict[str, bool]] = {"A": {}, "B": {}}
    for record in sorted(records, key=lambda record: record.started):
        if record.variant is None or record.caller is None:
            continue
        mine = callers[record.variant]
        if record.caller in mine or len(mine) < first:
            mine[record.caller] = mine.get(record.caller, False) or record.booked_appointment
    return {variant: Tally(len(found), sum(found.values())) for variant, found in callers.items()}


def verdict(a: Tally, b: Tally, first: int) -> str:
    """In a sentence or two."""
    if min(a.callers, b.callers) < first:
        return (
            f"Not enough callers yet: A has {a.callers} and B has {b.callers} of {first} each."
            " Nothing can be said before."
        )
    chance = fisher(a, b)
    if chance < _LIKELY:
        better, worse = ("A", "B") if a.share > b.share else ("B", "A")
        return (
            f"More callers book with {better} than with {worse} (p = {chance:.3f}, Fisher's exact"
            " test). One such finding in twenty is by chance."
        )
    both = (a.booked + b.booked) / (a.callers + b.callers)
    visible = _SEEN * sqrt(2 * both * (1 - both) / first)
    return (
        f"No difference can be shown (p = {chance:.2f}, Fisher's exact test). With {first} callers"
        f" each, one of about {100 * visible:.0f} percentage points would mostly be seen."
    )


def compare(
    portal: Portal,
    name: str,
    namespace: str,
    experiment: str | None,
    first: int,
    output: Output,
) -> Exit:
    """The client's newest experiment, or the one of that name."""
    found = [r for r in _records(portal, portal.client_id(name, namespace)) if r.experiment]
    if not found:
        fail(f"no call of {name} was part of an experiment; declare one in its Receptionist")
    chosen = experiment or found[0].experiment
    tallies = count((record for record in found if record.experiment == chosen), first)
    words = verdict(tallies["A"], tallies["B"], first)
    if output is Output.JSON:
        shown = {v: {"callers": t.callers, "booked": t.booked} for v, t in tallies.items()}
        print_json({"experiment": chosen, **shown, "verdict": words})
        return Exit.OK
    rows = table("Variant", "Callers", "Booked", "Share")
    for variant, tally in tallies.items():
        rows.add_row(variant, str(tally.callers), str(tally.booked), f"{100 * tally.share:.1f} %")
    out.print(f"Experiment {chosen} of {name}\n")
    out.print(rows)
    out.print(f"\n{words}", soft_wrap=True)
    return Exit.OK


def _records(portal: Portal, client_id: str) -> Iterator[CallRecord]:
    """All calls, the newest first, page by page."""
    before = ""
    while True:
        page = portal.get(f"/api/clients/{client_id}/calls", limit=_PAGE, before=before)["items"]
        yield from (CallRecord.model_validate(item) for item in page)
        if len(page) < _PAGE:
            return
        before = page[-1]["started"]
