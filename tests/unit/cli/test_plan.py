"""`voicefleet plan` for a pull request: Markdown and exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from support import manifests
from voicefleet_cli import plan as plan_command
from voicefleet_cli.console import Exit
from voicefleet_cli.main import app

pytestmark = pytest.mark.unit

Object = dict[str, Any]
STATUS = {"clientID": "vc-aaaaaaaaaa", "numbers": [{"name": "line-0", "e164": "+14155550100"}]}


def client(name: str, **spec: Any) -> Object:
    return manifests.voice_client(name, **{"plan": "Small", **spec})


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], Object]:
    """Live objects by kind and name; a Fleet, to begin with."""
    there: dict[tuple[str, str], Object] = {("Fleet", "default"): manifests.fleet("default")}

    def live(_: Path | None, kind: str, __: str, name: str) -> Object | None:
        return there.get((kind, name))

    monkeypatch.setattr(plan_command, "live", live)
    return there


def run(folder: Path, after: list[Object], before: list[Object], *words: str) -> Result:
    for name, objects in (("after", after), ("before", before)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(objects))
    command = ["plan", "-f", str(folder / "after.yaml"), "--before", str(folder / "before.yaml")]
    return CliRunner().invoke(app, [*command, *words], env={"VOICEFLEET_HOME": str(folder)})


def row(markdown: str, client: str) -> list[str]:
    """Cells of a client's line in the summary."""
    [line] = [line for line in markdown.splitlines() if line.startswith(f"| {client} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_comment_sums_up_what_is_bought_changed_and_released(
    tmp_path: Path, cluster: dict[tuple[str, str], Object]
) -> None:
    before = [client("changed"), client("gone"), client("kept")]
    for obj in before:
        cluster["VoiceClient", obj["metadata"]["name"]] = {**obj, "status": STATUS}
    after = [client("changed", plan="Endless"), client("kept"), client("new")]
    result = run(tmp_path, after, before, "-o", "markdown")
    assert result.exit_code == Exit.CHANGES
    heading = result.output.splitlines()[0]
    assert heading == "### Plan for the clients: 1 new, 1 changed, 1 deleted, 1 unchanged"
    assert row(result.output, "`default/changed`") == [
        "`default/changed`", "changed", "", "0.00", "+1.00",
    ]  # fmt: skip
    assert row(result.output, "`default/new`")[1:] == [
        "new", "ClaimNumber line-0 (US 415)", "+1.15", "+1.00",
    ]  # fmt: skip
    gone = row(result.output, "`default/gone`")
    assert gone[1] == "deleted"
    assert "ReleaseNumber +14155550100" in gone[2]
    assert gone[3:] == ["-1.15", "-1.00"]
    assert row(result.output, "**a month, in all**")[3:] == ["0.00", "+1.00"]
    assert "default/kept" not in result.output
    assert result.output.count("<details>") == result.output.count("</details>") == 3


def test_where_nothing_changes_the_comment_is_one_line(
    tmp_path: Path, cluster: dict[tuple[str, str], Object]
) -> None:
    cluster["VoiceClient", "kept"] = {**client("kept"), "status": STATUS}
    result = run(tmp_path, [client("kept")], [client("kept")], "-o", "markdown")
    assert result.exit_code == Exit.OK
    assert result.output == "### Plan for the clients: 1 unchanged\n"
    assert run(tmp_path, [], [], "-o", "markdown").output.endswith(": there are none\n")


@pytest.mark.usefixtures("cluster")
def test_a_name_cannot_break_out_of_its_cell(tmp_path: Path) -> None:
    name = "A | B</details>\n# C"
    result = run(tmp_path, [client("odd", business={"name": name})], [], "-o", "markdown")
    [line] = [line for line in result.output.splitlines() if "CreateCustomer" in line]
    assert "A \\| B&lt;/details&gt; # C" in line


def test_a_protected_client_that_is_to_go_fails_the_check(
    tmp_path: Path, cluster: dict[tuple[str, str], Object]
) -> None:
    protected = client("kept", deletionProtection=True)
    cluster["VoiceClient", "kept"] = {**protected, "status": STATUS}
    result = run(tmp_path, [], [protected], "-o", "markdown")
    assert result.exit_code == Exit.FAILED
    assert "DeletionProtected" in result.output


def test_for_programs_each_client_says_what_becomes_of_it(
    tmp_path: Path, cluster: dict[tuple[str, str], Object]
) -> None:
    cluster["VoiceClient", "gone"] = {**client("gone"), "status": STATUS}
    result = run(tmp_path, [client("new")], [client("gone")], "-o", "json")
    said = {item["name"]: item["change"] for item in json.loads(result.output)}
    assert said == {"new": "new", "gone": "deleted"}
