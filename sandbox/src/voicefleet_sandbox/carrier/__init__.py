"""The carrier's SIP edge: calls go where the sandbox's Twilio account says, as a trunk sends them.

kamailio does the SIP, by `kamailio.cfg`. Start it with `python -m voicefleet_sandbox.carrier --host
ADDRESS --port PORT --sandbox URL` (`--help` says more); it becomes kamailio, listens on UDP and TCP
of that address, and ends on SIGTERM. It keeps nothing but where phones have registered.

**What a caller does.** An INVITE to `sip:+14155550100@ADDRESS:PORT`. An owner's phone registers
there as `sip:+14155550199@ADDRESS:PORT`, without a password, and is then rung by that number.
Everybody whose address is not in `--networks` gets 403. OPTIONS is answered with 200.

**What it asks of the sandbox.** `GET /_sandbox/carrier/{number}` at each INVITE: 404 where the
number is nobody's here, else the URIs that this call tries, in their order, with `|` in between.
The dice of equal priorities are thrown anew for each call (`routing.attempts`). A URI in `PHONES`
is a telephone number: it rings whichever phone has registered under it. So does a number that the
sandbox does not know.

**When the next URI is tried.** No answer at all within `--no-reply-seconds`, 5xx, no way to send
it, or no such phone. Any other refusal ends the call and is passed on, as is the last one's answer.

**In a call** BYE, re-INVITE and REFER pass through the edge (Record-Route); sound does not.
"""

PHONES = "phones.invalid"
"""Domain of URIs that are telephone numbers (RFC 2606: nobody has it)."""
