"""SIP servers that do one thing, and callers by the hundred: sipp, with scenarios of our own."""

from __future__ import annotations

import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from support.netns import Host
from support.stack import until

PORT = 5060
_ANSWER = """<send><![CDATA[
SIP/2.0 {status}
[last_Via:]
[last_Record-Route:]
[last_From:]
[last_To:];tag=[pid]-[call_number]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:[local_ip]:[local_port]>
{body}
]]></send>
"""
_NO_BODY = "Content-Length: 0\n"
_SOUND = """Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [local_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
"""
_CALLER = """<?xml version="1.0"?><scenario name="caller"><send retrans="500"><![CDATA[
INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
From: <sip:+15005550006@[local_ip]:[local_port]>;tag=[pid]-[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:[local_ip]:[local_port]>
Max-Forwards: 70
{sound}
]]></send>
<recv response="100" optional="true"/><recv response="{status}"/>
<send><![CDATA[
ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send></scenario>
"""
_OUT = """<send{retrans}><![CDATA[
{method} sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
From: <sip:{caller}@[local_ip]:[local_port]>;tag=[pid]-[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>{to}
Call-ID: [call_id]
CSeq: {number} {method}
Contact: <sip:[local_ip]:[local_port]>
Max-Forwards: 70
{more}
]]></send>
"""


def _said(method: str) -> str:
    return f'<recv request="{method}"><action><log message="{method}"/></action></recv>\n'


def _scenario(status: str) -> str:
    """What becomes of a call: a refusal, `200 OK` until the caller ends it, or `180 Ringing`."""
    steps = [_said("INVITE"), _ANSWER.format(status=status, body=_NO_BODY)]
    if status.startswith("1"):
        steps += [_said("CANCEL"), _ANSWER.format(status="200 OK", body=_NO_BODY)]
    elif status.startswith("2"):
        ended = [_said("BYE"), _ANSWER.format(status=status, body=_NO_BODY)]
        steps[1:] = [_ANSWER.format(status=status, body=_SOUND), '<recv request="ACK"/>', *ended]
    else:
        steps.append('<recv request="ACK"/>')
    return f'<?xml version="1.0"?><scenario name="server">{"".join(steps)}</scenario>'


@dataclass(frozen=True)
class Server:
    """A SIP server on port 5060 of a host."""

    process: subprocess.Popen[bytes]
    log: Path

    def got(self, method: str = "INVITE") -> int:
        """How many requests of a method have come, repetitions not counted."""
        return self.log.read_text().splitlines().count(method) if self.log.exists() else 0

    def stop(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()


def server(host: Host, folder: Path, status: str = "200 OK") -> Server:
    """Start one that answers every INVITE with `status`, in a folder of its own."""
    folder.mkdir(parents=True)
    file, log = folder / "scenario.xml", folder / "requests.log"
    file.write_text(_scenario(status))
    options = ("-nostdin", "-trace_logs", "-log_file", str(log))
    started = host.start(
        ["sipp", "-sf", str(file), "-i", host.address, "-p", str(PORT), *options], folder / "log"
    )
    until(lambda: _taken(host), f"sipp does not listen: {(folder / 'log').read_text()}")
    return Server(started, log)


def call_out(
    host: Host,
    folder: Path,
    to: str,
    number: str,
    *,
    caller: str,
    status: int,
    login: tuple[str, str] | None = None,
) -> None:
    """Call a number through `to` (address:port) as a trunk's owner does, and be refused.

    Signs in with `login` (user, password) where it is given, and must be asked to (407). Fails
    where the call ends in another way than with a refusal of that SIP status.
    """

    def refused(invite: int, status: int, more: str = "") -> str:
        said = _OUT.format(
            method="INVITE", number=invite, caller=caller, to="", retrans=' retrans="500"',
            more=f"{more}\n{_SOUND}".strip(),
        )  # fmt: skip
        said += f'<recv response="100" optional="true"/><recv response="{status}" auth="true"/>\n'
        return said + _OUT.format(
            method="ACK", number=invite, caller=caller, to="[peer_tag_param]", retrans="",
            more=_NO_BODY,
        )  # fmt: skip

    steps = refused(1, 407 if login else status)
    if login:
        user, password = login
        steps += refused(2, status, f"[authentication username={user} password={password}]")
    file = folder / f"out-{status}.xml"
    file.write_text(f'<?xml version="1.0"?><scenario name="out">{steps}</scenario>')
    with host.inside():
        done = subprocess.run(
            ["sipp", to, "-sf", str(file), "-s", number, "-i", host.address, "-m", "1", "-nostdin"],
            cwd=folder, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def _taken(host: Host) -> bool:
    with host.inside(), socket.socket(type=socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host.address, PORT))
        except OSError:
            return True
        return False


def crowd(
    host: Host, folder: Path, to: str, number: str, *, calls: int, rate: int, status: int
) -> None:
    """Call a number through `to` (address:port) `calls` times, `rate` a second.

    Fails where a call ends in another way than with a refusal of that SIP status.
    """
    file = folder / f"caller-{status}.xml"
    file.write_text(_CALLER.format(sound=_SOUND, status=status))
    with host.inside():
        done = subprocess.run(
            ["sipp", to, "-sf", str(file), "-s", number, "-i", host.address, "-m", str(calls),
             "-r", str(rate), "-nostdin"],
            cwd=folder, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
