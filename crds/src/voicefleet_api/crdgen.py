"""CRDs from the models: `python -m voicefleet_api.crdgen [--check] [--out DIR]`.

pydantic's JSON Schema becomes the structural OpenAPI v3 schema that the API server wants
(Kubernetes, "Extend the Kubernetes API with CustomResourceDefinitions", "Specifying a structural
schema"): references are put in place, nullable unions become optional fields, titles go. Defaults
go too and are told in the description instead: a default that the server writes into `spec` is a
permanent difference for Argo CD. The one exception is `status: {observedGeneration: -1}`, which
keeps an object that nobody has handled yet from counting as healthy (kstatus).

Same models, same bytes: the output is checked in, and `--check` fails where it differs.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from voicefleet_api import rules
from voicefleet_api.base import ApiModel
from voicefleet_api.fleet import Fleet
from voicefleet_api.names import API_VERSION, GROUP, VERSION
from voicefleet_api.phonenumber import PhoneNumber
from voicefleet_api.receptionist import Receptionist
from voicefleet_api.voiceclient import VoiceClient

Schema = dict[str, Any]
CATEGORY = "voicefleet"


class Column(NamedTuple):
    """A column of `kubectl get`; priority 1 shows with `-o wide` only."""

    name: str
    path: str
    description: str
    type: str = "string"
    priority: int = 0


class Kind(NamedTuple):
    """A kind of the API and how kubectl shows it."""

    model: type[ApiModel]
    plural: str
    short: str
    namespaced: bool
    columns: tuple[Column, ...]


def _condition(kind: str, part: str = "status") -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{part}'


_READY = Column("Ready", _condition("Ready"), "Whether what the spec asks for is there.")
_REASON = Column("Reason", _condition("Ready", "reason"), "Why it is Ready or not.", priority=1)
_AGE = Column("Age", ".metadata.creationTimestamp", "Since when the object exists.", "date")

KINDS = (
    Kind(
        VoiceClient,
        "voiceclients",
        "vc",
        True,
        (
            _READY,
            Column("Answering", _condition("Answering"), "Whether a call now would be answered."),
            Column("Plan", ".spec.plan", "Plan of the fleet."),
            Column("Number", ".status.primaryNumber", "First phone number."),
            Column("URL", ".status.endpoints.url", "Address of the client."),
            Column("Profession", ".spec.profession", "Trade of the client.", priority=1),
            Column("Monthly cost", ".status.monthlyCost", "Vendors' bill a month.", priority=1),
            _REASON,
            _AGE,
        ),
    ),
    Kind(
        Receptionist,
        "receptionists",
        "rcp",
        True,
        (Column("Greeting", ".spec.greeting", "First words on a call."), _AGE),
    ),
    Kind(
        PhoneNumber,
        "phonenumbers",
        "pn",
        False,
        (
            Column("Number", ".status.e164", "The number, once it is bought."),
            Column("Phase", ".status.phase", "Where in its life the number is."),
            Column("Client namespace", ".spec.claimRef.namespace", "Namespace of its holder."),
            Column("Client", ".spec.claimRef.name", "Client that holds it."),
            Column("Reclaim", ".spec.reclaimPolicy", "What happens after the client."),
            Column("Fleet", ".spec.fleetRef.name", "Fleet that owns it.", priority=1),
            Column("Account", ".spec.account", "Telephony account.", priority=1),
            Column(
                "Cost (cents)",
                ".status.monthlyCostMinor",
                "Carrier's bill a month, in cents.",
                "integer",
                1,
            ),
            _REASON,
            _AGE,
        ),
    ),
    Kind(
        Fleet,
        "fleets",
        "fl",
        False,
        (
            _READY,
            Column("Fleet ID", ".status.fleetID", "Mark on everything the fleet owns."),
            Column("Zone", ".spec.dns.zone", "DNS zone of the clients."),
            Column("Runtime", ".spec.runtime.className", "Where agents run.", priority=1),
            Column(
                "Cost (cents)",
                ".status.monthlyNumberCostMinor",
                "Carrier's bill for the fleet's numbers a month, in cents.",
                "integer",
                1,
            ),
            _REASON,
            _AGE,
        ),
    ),
)

_STANDARD: Schema = {
    "apiVersion": {"type": "string", "description": f"Version of the API: {API_VERSION}."},
    "kind": {"type": "string", "description": "Kind of the object."},
    "metadata": {"type": "object"},
}
_DROPPED = ("title", "default", "additionalProperties", "$defs")
# Reading order of a schema's keys; whatever is not named here follows.
_ORDER = ("description", "type", "format", "required", "properties", "items")


def _said(description: str, default: object) -> str:
    """The description, with the default where it is a plain value."""
    text = " ".join(description.split("\n\n")[0].split())
    if isinstance(default, bool):
        return f"{text} Defaults to {str(default).lower()}."
    return f"{text} Defaults to {default}." if isinstance(default, (str, int)) else text


def _merge_rules(*schemas: Schema) -> list[rules.Rule]:
    return [item for schema in schemas for item in schema.get(rules.KEY, [])]


def structural(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """A JSON Schema node of pydantic as a structural one, references put in place."""
    node = {k: v for k, v in schema.items() if k not in ("anyOf", "$ref")}
    if "anyOf" in schema:
        options = [option for option in schema["anyOf"] if option != {"type": "null"}]
        if len(options) != 1:
            raise ValueError(f"a union of {len(options)} shapes has no structural schema")
        inner = options[0]
    else:
        inner = {"$ref": schema["$ref"]} if "$ref" in schema else {}
    if "$ref" in inner:
        inner = definitions[inner["$ref"].removeprefix("#/$defs/")]
    made = {**inner, **node}
    if found := _merge_rules(inner, node):
        made[rules.KEY] = found
        made.pop("pattern", None)  # a rule says the same, in words
    if "description" in made:
        made["description"] = _said(made["description"], made.get("default"))
    values = made.get("additionalProperties")
    for key in _DROPPED:
        made.pop(key, None)
    if isinstance(values, dict):
        made["additionalProperties"] = structural(values, definitions)
    if "items" in made:
        made["items"] = structural(made["items"], definitions)
    if "properties" in made:
        made["properties"] = {
            name: structural(child, definitions) for name, child in made["properties"].items()
        }
    return {k: made[k] for k in _ORDER if k in made} | {
        k: made[k] for k in sorted(made) if k not in _ORDER
    }


def _root(kind: Kind) -> Schema:
    schema = kind.model.model_json_schema(by_alias=True)
    root = structural(schema, schema.get("$defs", {}))
    root["description"] = " ".join((inspect.getdoc(kind.model) or "").split())
    properties = root["properties"]
    # A Receptionist has none: what becomes of it, its clients say. With the default it would wait
    # for ever to be handled.
    if "status" in properties:
        properties["status"]["default"] = {"observedGeneration": -1}
        # The description must not name a default that is the server's own.
        observed = properties["status"]["properties"]["observedGeneration"]
        observed["description"] = "Generation last handled; -1 before the first time."
    root["properties"] = {**_STANDARD, **properties}
    root["required"] = ["spec"]
    return root


def _column(column: Column) -> Schema:
    made: Schema = {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.path,
        "description": column.description,
    }
    return made | {"priority": column.priority} if column.priority else made


def crd(kind: Kind) -> Schema:
    """The CustomResourceDefinition of one kind."""
    name, schema = kind.model.__name__, _root(kind)
    status: Schema = {"subresources": {"status": {}}} if "status" in schema["properties"] else {}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{kind.plural}.{GROUP}",
            "labels": {"app.kubernetes.io/part-of": "voicefleet"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {
                "kind": name,
                "listKind": f"{name}List",
                "plural": kind.plural,
                "singular": name.lower(),
                "shortNames": [kind.short],
                "categories": [CATEGORY],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    **status,
                    "additionalPrinterColumns": [_column(column) for column in kind.columns],
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


class _Dumper(yaml.SafeDumper):
    """No anchors: kubectl reads them, people do not."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(document: Schema) -> str:
    text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return f"# Generated by `python -m voicefleet_api.crdgen` from the models; do not edit.\n{text}"


def render(kinds: Iterable[Kind] = KINDS) -> dict[str, str]:
    """File name -> content: one file a kind and the kustomization that lists them."""
    made = {f"{GROUP}_{kind.plural}.yaml": _yaml(crd(kind)) for kind in kinds}
    index = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": sorted(made),
    }
    # Without an extension, so that `kubectl apply -f` of the folder does not take it for an object.
    return {**made, "Kustomization": _yaml(index)}


def differing(folder: Path) -> list[str]:
    """Names of files in `folder` that are missing, stale or should not be there."""
    wanted = render()
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*")}
    return sorted(name for name in wanted.keys() | there if wanted.get(name) != there.get(name))


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or check them; 1 where a check finds a difference."""
    parser = argparse.ArgumentParser(description="Generate the CRDs from the models.")
    parser.add_argument("--out", type=Path, default=Path("crds/generated"), help="folder")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    options = parser.parse_args(arguments)
    folder: Path = options.out
    if options.check:
        if stale := differing(folder):
            print(
                f"{folder}: {', '.join(stale)} differ from the models; run"
                " `python -m voicefleet_api.crdgen`",
                file=sys.stderr,
            )
        return 1 if stale else 0
    folder.mkdir(parents=True, exist_ok=True)
    for name in set(differing(folder)) - render().keys():
        (folder / name).unlink()
    for name, content in render().items():
        (folder / name).write_text(content, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
