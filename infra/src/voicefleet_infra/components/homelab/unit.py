"""A systemd unit with which a lab comes back after a reboot.

Podman keeps pods, but starts none when the machine does. One unit starts them in order, on every
Podman; Quadlet (podman-systemd.unit(5)) would make them anew, needs Podman 4.4, and would be a
second owner of what Pulumi has declared.
"""

from __future__ import annotations

from collections.abc import Sequence

_TEMPLATE = """\
# Written by Pulumi (stack output `unit`): the pods of {lab}, in the order in which they need one
# another. Of one user: ~/.config/systemd/user/, with `loginctl enable-linger`; root's:
# /etc/systemd/system/. Clients' own pods are started by the operator.
[Unit]
Description=voicefleet home lab {lab}
Wants=network-online.target
After=network-online.target podman.socket
Requires=podman.socket

[Service]
Type=oneshot
RemainAfterExit=yes
{starts}
{stops}
TimeoutStartSec=300

[Install]
WantedBy=default.target
"""


def systemd_unit(lab: str, pods: Sequence[str]) -> str:
    """The unit's text; `pods` in the order of their start (systemd.service(5))."""
    starts = "\n".join(f"ExecStart=podman pod start {pod}" for pod in pods)
    stops = "\n".join(f"ExecStop=podman pod stop --ignore {pod}" for pod in reversed(pods))
    return _TEMPLATE.format(lab=lab, starts=starts, stops=stops)
