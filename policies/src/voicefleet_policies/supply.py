"""Rules for what is fetched, and for machines that are bought."""

from __future__ import annotations

import re
from collections.abc import Iterator

from voicefleet_policies.rules import Props, Rule, items, mapping

_VERSION = re.compile(r"v?\d+\.\d+\.\d+([-+].+)?")


def _charts(type_: str, props: Props) -> Iterator[str]:
    chart = str(props.get("chart", ""))
    fetched = "://" in chart or mapping(props.get("repositoryOpts")).get("repo")
    if not type_.startswith("kubernetes:helm.sh/") or not fetched:
        return
    if not _VERSION.fullmatch(str(props.get("version", ""))):
        yield f"the chart {chart} is taken in version {props.get('version', 'unknown')}"


def _disks(type_: str, props: Props) -> Iterator[str]:
    if type_ == "aws:ebs/volume:Volume" and not props.get("encrypted"):
        yield "the volume is not encrypted"
    elif type_ == "aws:rds/instance:Instance" and not props.get("storageEncrypted"):
        yield "the database is not encrypted"
    elif type_ == "aws:ec2/instance:Instance":
        disks = [props.get("rootBlockDevice"), *items(props.get("ebsBlockDevices"))]
        if not all(mapping(disk).get("encrypted") for disk in disks):
            yield "the server has a disk that is not encrypted"


def _metadata(type_: str, props: Props) -> Iterator[str]:
    if type_ != "aws:ec2/instance:Instance":
        return
    options = mapping(props.get("metadataOptions"))
    if options.get("httpTokens") != "required" or options.get("httpPutResponseHopLimit", 1) > 1:
        yield "pods can read the server's metadata, user data among it"


RULES = (
    Rule(
        "pinned-chart",
        "A Helm chart that is fetched has an exact version.",
        "Set version: 1.2.3; a range or none takes whatever is newest at the next run",
        _charts,
    ),
    Rule(
        "encrypted-disk",
        "Disks are encrypted: calls and transcripts lie on them.",
        "Set encrypted: true on each disk",
        _disks,
    ),
    Rule(
        "metadata-tokens",
        "A server's metadata cannot be read from a pod.",
        "Set metadataOptions.httpTokens: required and httpPutResponseHopLimit: 1",
        _metadata,
    ),
)
