"""The software bill of materials of an image: CycloneDX 1.5, JSON.

uv writes it from the lock file (https://docs.astral.sh/uv/concepts/projects/export/); Debian's
packages are added from the control files in /var/lib/dpkg/status.d, where scanners look for them in
images without dpkg. Components are named by package URLs, https://github.com/package-url/purl-spec.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from email.parser import HeaderParser
from typing import Any
from urllib.parse import quote

SBOM_FILE = "/opt/voicefleet/sbom.cdx.json"


def bill(exported: str, controls: Iterable[str], suite: str) -> str:
    """`exported` (`uv export --format cyclonedx1.5`) with Debian packages of `suite`.

    `controls`: their control files (deb-control(5)). Without the export's own time and serial
    number, so that the same image has the same bill.
    """
    made: dict[str, Any] = json.loads(exported)
    made.pop("serialNumber", None)
    made["metadata"].pop("timestamp", None)
    made["components"] += sorted(
        (_component(control, suite) for control in controls), key=lambda item: str(item["purl"])
    )
    return json.dumps(made, indent=1)


def _component(control: str, suite: str) -> dict[str, str]:
    fields = HeaderParser().parsestr(control)
    name, version = fields["Package"], fields["Version"]
    purl = f"pkg:deb/debian/{name}@{quote(version)}?arch={fields['Architecture']}&distro={suite}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
