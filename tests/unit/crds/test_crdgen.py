"""The generated CRDs: the same as checked in, every field described and bounded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field

from voicefleet_api import crdgen
from voicefleet_api.base import ApiModel

pytestmark = pytest.mark.unit
GENERATED = Path(__file__).resolve().parents[3] / "crds" / "generated"
CRDS = {kind.plural: crdgen.crd(kind) for kind in crdgen.KINDS}
HANDLED = CRDS.keys() - {"receptionists"}
"""Kinds that the controller says something about."""


def root(plural: str) -> dict[str, Any]:
    """The schema of a kind."""
    schema: dict[str, Any] = CRDS[plural]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def walk(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node of a schema but `metadata`, with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        if (path, name) != ("", "metadata"):
            yield from walk(child, f"{path}.{name}")
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from walk(schema["additionalProperties"], f"{path}{{}}")


NODES = [(f"{plural}{path}", node) for plural in CRDS for path, node in walk(root(plural)) if path]


def test_checked_in_files_are_the_generated_ones() -> None:
    assert crdgen.differing(GENERATED) == []


def test_check_finds_a_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert crdgen.main(["--out", str(tmp_path)]) == 0
    assert crdgen.main(["--check", "--out", str(tmp_path)]) == 0
    stale = tmp_path / "voicefleet.dev_fleets.yaml"
    stale.write_text(stale.read_text() + "# edited\n")
    assert crdgen.main(["--check", "--out", str(tmp_path)]) == 1
    assert "voicefleet.dev_fleets.yaml differ" in capsys.readouterr().err
    (tmp_path / "left-over.yaml").write_text("x")
    assert crdgen.main(["--out", str(tmp_path)]) == 0
    assert not (tmp_path / "left-over.yaml").exists()


def test_same_models_same_bytes() -> None:
    assert crdgen.render() == crdgen.render()


@pytest.mark.parametrize(("path", "node"), NODES, ids=[path for path, _ in NODES])
def test_every_field_is_described(path: str, node: dict[str, Any]) -> None:
    description = node.get("description", "")
    assert len(description) >= 8, path
    assert description[-1] in ".:)", f"{path}: {description}"
    assert "\n" not in description


@pytest.mark.parametrize(("path", "node"), NODES, ids=[path for path, _ in NODES])
def test_every_field_is_bounded(path: str, node: dict[str, Any]) -> None:
    if path.endswith((".apiVersion", ".kind")) and path.count(".") == 1:
        return
    kind = node["type"]
    if kind == "string":
        assert "maxLength" in node or "enum" in node, path
    if kind == "array":
        assert "maxItems" in node, path
    if kind == "object" and "additionalProperties" in node:
        assert "maxProperties" in node, path
    assert "pattern" not in node, f"{path}: a rule with a message stands for a pattern"


def test_the_only_default_is_the_status() -> None:
    defaults = {path: node["default"] for path, node in NODES if "default" in node}
    assert defaults == {f"{plural}.status": {"observedGeneration": -1} for plural in HANDLED}


def test_a_kind_that_nobody_handles_does_not_wait_to_be_handled() -> None:
    """kstatus: without a status it is current; with observedGeneration -1 it never would be."""
    [version] = CRDS["receptionists"]["spec"]["versions"]
    assert "status" not in root("receptionists")["properties"]
    assert "subresources" not in version


def test_schemas_are_structural() -> None:
    """No reference, no union, nothing both a struct and a map (Kubernetes, "structural schema")."""
    for path, node in NODES:
        assert not {"$ref", "anyOf", "oneOf", "allOf", "title", "$defs"} & node.keys(), path
        assert not ("properties" in node and "additionalProperties" in node), path
        assert node["type"] in {"object", "array", "string", "integer", "boolean"}, path


def test_conditions_are_merged_by_type_and_named_lists_by_name() -> None:
    keys = {
        path: node["x-kubernetes-list-map-keys"]
        for path, node in NODES
        if node.get("x-kubernetes-list-type") == "map"
    }
    for plural in HANDLED:
        assert keys[f"{plural}.status.conditions"] == ["type"]
    assert keys["voiceclients.spec.telephony.numbers"] == ["name"]
    assert keys["fleets.spec.plans"] == ["name"]


def test_defaults_are_told() -> None:
    spec = root("voiceclients")["properties"]["spec"]["properties"]
    assert spec["billing"]["properties"]["mode"]["description"].endswith("Defaults to Managed.")
    assert spec["suspend"]["description"].endswith("Defaults to false.")


def test_rules_have_messages_that_say_something() -> None:
    for path, node in NODES:
        for rule in node.get("x-kubernetes-validations", []):
            assert len(rule["message"]) > 30, path
            assert "\n" not in rule["message"], path


def test_names_and_columns() -> None:
    shapes = {
        plural: (crd["spec"]["scope"], crd["spec"]["names"]["shortNames"])
        for plural, crd in CRDS.items()
    }
    assert shapes == {
        "voiceclients": ("Namespaced", ["vc"]),
        "receptionists": ("Namespaced", ["rcp"]),
        "phonenumbers": ("Cluster", ["pn"]),
        "fleets": ("Cluster", ["fl"]),
    }
    columns = CRDS["voiceclients"]["spec"]["versions"][0]["additionalPrinterColumns"]
    assert [c["name"] for c in columns if not c.get("priority")] == [
        "Ready", "Answering", "Plan", "Number", "URL", "Age",
    ]  # fmt: skip


def test_a_union_that_has_no_structural_schema_is_refused() -> None:
    class Odd(ApiModel):
        """Odd."""

        either: int | str = Field(description="Two shapes.")
        mode: Literal["A"] = Field(description="One.")

    schema = Odd.model_json_schema()
    with pytest.raises(ValueError, match="a union of 2 shapes"):
        crdgen.structural(schema, {})
