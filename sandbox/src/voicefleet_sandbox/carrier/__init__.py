"""The carrier's SIP edge: calls go where the sandbox's Twilio account says, as a trunk sends them.

kamailio does the SIP, by `kamailio.cfg`. Start it with `python -m voicefleet_sandbox.carrier --host
ADDRESS --port PORT --sandbox URL` (`--help` says more); it becomes kamailio, listens on UDP and TLS
of that address, and ends on SIGTERM. It keeps nothing but where phones have registered.

**What a caller does.** An INVITE to `sip:+14155550100@ADDRESS:PORT`. An owner's phone registers
there as `sip:+14155550199@ADDRESS:PORT`, without a password, and is then rung by that number.
Everybody whose address is not in `--networks` gets 403. OPTIONS is answered with 200.

**What it asks of the sandbox.** `GET /_sandbox/carrier/{number}` at each INVITE, with the caller's
number and the user that has signed in, if any. 200: how the sound has to be sent
(`routing.sound`), then the URIs that this call tries, in their order, with `|` in between; the dice
of equal priorities are thrown anew for each call (`routing.attempts`). A URI in `PHONES` is a
telephone number: it rings whichever phone has registered under it. So does a number that is
nobody's here (404). One in `VOICE` goes to the switch (`switch.py`), at `--switch HOST:PORT`. 401:
it is a call out; behind how its sound has to be sent stands what the user's password is recognised
by (`termination.ha1`). 403: nobody may call out.

**Calls out.** A call that shows (From) a number of a trunk is one of that trunk's owner: it has to
sign in (407, digest) with a credential of a list that guards the trunk, and then rings the phone
that has registered under the called number. Without a list, or with a wrong password, it is 403.
A number that is on no trunk goes out over another trunk of its account (`termination.trunk_of`).

**When the next URI is tried.** No answer at all within `--no-reply-seconds`, 5xx, no way to send
it, or no such phone. Any other refusal ends the call and is passed on, as is the last one's answer.

**Secure trunks.** URLs without TLS are passed over; an offer of RTP instead of SRTP (SDES, RFC
4568) is 488, as is SRTP to a trunk that is not secure; a call out has to come by TLS. Whoever is
called by TLS must show a certificate of `--ca`'s, whatever name it bears.

**In a call** BYE, re-INVITE and REFER pass through the edge (Record-Route); sound does not.
"""

VOICE = "voice.invalid"
"""Domain of URIs that are the carrier's switch: it follows the number's instructions."""
PHONES = "phones.invalid"
"""Domain of URIs that are telephone numbers (RFC 2606: nobody has it)."""
