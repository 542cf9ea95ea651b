"""How a call to a vendor can end other than well; every driver raises these and nothing else.

The difference that matters for money: `Rejected` and `Throttled` mean that nothing was done,
`Ambiguous` that nobody knows.
"""

from __future__ import annotations


class VendorError(Exception):
    """A vendor did not do what it was asked.

    `reason` is one CamelCase word for a condition, `message` the vendor's own words,
    `hint` what a person can change.
    """

    def __init__(
        self, reason: str, message: str, *, hint: str = "", suggestions: tuple[str, ...] = ()
    ) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.hint = hint
        self.suggestions = suggestions


class Rejected(VendorError):
    """A definite no; the same request will be refused again until somebody changes something."""


class Unauthorized(Rejected):
    """The credentials are wrong or lack a right."""


class Gone(Rejected):
    """The thing does not exist (any more)."""


class Throttled(VendorError):
    """Too many requests; nothing was done. Come back after `retry_after` seconds."""

    _reason = "Throttled"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(self._reason, message)
        self.retry_after = retry_after


class VendorDown(Throttled):
    """The last requests have all failed, and this one was not sent: the circuit is open."""

    _reason = "VendorDown"


class Unavailable(VendorError):
    """The vendor could not be reached; the request was never sent."""


class Ambiguous(VendorError):
    """Sent, but the answer was lost, timed out or a server error: it may have been done.

    `replayed`: the vendor has stored this failure under the idempotency key and will repeat it.
    """

    def __init__(self, reason: str, message: str, *, replayed: bool = False) -> None:
        super().__init__(reason, message)
        self.replayed = replayed
