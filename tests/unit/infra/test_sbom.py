"""The bill of materials: what uv lists and what Debian's packages say of themselves."""

from __future__ import annotations

import json

import pytest

from voicefleet_infra.images.sbom import bill

pytestmark = pytest.mark.unit

EXPORTED = json.dumps(
    {
        "bomFormat": "CycloneDX",
        "serialNumber": "urn:uuid:1",
        "metadata": {"timestamp": "2026-01-01T00:00:00Z", "component": {"name": "operator"}},
        "components": [{"name": "kopf", "version": "1.45.0", "purl": "pkg:pypi/kopf@1.45.0"}],
    }
)
ZLIB = """\
Package: zlib1g
Version: 1:1.2.13.dfsg-1
Architecture: amd64
Description: compression library
 More words: these, too.
"""


def test_packages_of_both_kinds_are_named_by_their_urls() -> None:
    made = json.loads(bill(EXPORTED, [ZLIB], "bookworm"))
    assert [component["purl"] for component in made["components"]] == [
        "pkg:pypi/kopf@1.45.0",
        "pkg:deb/debian/zlib1g@1%3A1.2.13.dfsg-1?arch=amd64&distro=bookworm",
    ]
    assert made["components"][1]["version"] == "1:1.2.13.dfsg-1"


def test_the_same_image_has_the_same_bill() -> None:
    later = EXPORTED.replace("2026-01-01", "2026-02-02").replace("urn:uuid:1", "urn:uuid:2")
    libc = ZLIB.replace("zlib1g", "libc6")
    assert bill(EXPORTED, [ZLIB, libc], "bookworm") == bill(later, [libc, ZLIB], "bookworm")
