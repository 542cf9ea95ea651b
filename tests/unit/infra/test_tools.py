"""What a machine lacks, and how it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicefleet_infra import node, tools
from voicefleet_infra.tools import ToolMissing

pytestmark = pytest.mark.unit


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without our programs; what is put into the folder is on PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(tools, "_EXTRA_PATHS", "")
    monkeypatch.setattr(tools, "_ROOT", tmp_path)
    return folder


def _put(folder: Path, name: str, script: str = "") -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_only_what_is_missing_is_named(bare: Path) -> None:
    _put(bare, "knotd")
    assert tools.missing_packages("platform") == [
        "redis-server",
        "baresip",
        "kamailio-utils-modules",
        "kamailio-tls-modules",
    ]


def test_a_library_is_missing_until_the_compiler_would_find_it(bare: Path) -> None:
    assert "libsoxr-dev" in tools.missing_packages("build")
    _put(bare, "gcc")
    _put(bare, "pkg-config", 'test "$2" != opusfile')
    assert tools.missing_packages("build") == ["libopusfile-dev"]


def test_without_root_the_command_is_said(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _put(bare, "apt-get")
    monkeypatch.setattr(tools.os, "geteuid", lambda: 1000)
    with pytest.raises(ToolMissing) as said:
        tools.install_packages(lambda _: None, "platform")
    command = "sudo apt-get install --no-install-recommends redis-server knot baresip"
    assert str(said.value).endswith(f"{command} kamailio-utils-modules kamailio-tls-modules")


def test_without_apt_the_packages_are_said(bare: Path) -> None:
    with pytest.raises(ToolMissing, match=r"no apt-get.*redis-server knot baresip"):
        tools.install_packages(lambda _: None, "platform")


def test_nothing_is_run_where_nothing_is_missing(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in tools.PACKAGES["platform"]:
        _put(bare, program.rpartition("/")[2])
    modules = tmp_path / "usr/lib/any-linux-gnu/kamailio/modules"
    modules.mkdir(parents=True)
    _put(modules, "tls.so")
    monkeypatch.setattr(tools.os, "geteuid", lambda: 1000)
    tools.install_packages(lambda _: pytest.fail("it installs"), "platform")


def test_assets_of_the_user_come_before_our_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assets = tmp_path / "assets"
    assets.mkdir()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    ours = tmp_path / "cache" / "voicefleet" / "bin" / "kube-apiserver"
    assert tools.binary("kube-apiserver") == ours
    _put(assets, "kube-apiserver")
    assert tools.binary("kube-apiserver") == assets / "kube-apiserver"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, on a machine with a Go of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setattr(tools, "_go", lambda: ("go",))
    monkeypatch.setattr(tools, "_go_version", lambda _: "go version go1.26.0 linux/amd64")
    folder = tmp_path / "voicefleet" / "bin"
    folder.mkdir(parents=True)
    return folder


def test_a_program_is_stale_unless_built_from_just_this(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "stripe-mock"
    assert tools.stale_go_programs([name]) == [name]
    _put(cache, name)
    assert tools.stale_go_programs([name]) == [name], "nobody knows where that one is from"
    (cache / f"{name}.stamp").write_text(tools._stamp(name))
    assert tools.stale_go_programs([name]) == []
    monkeypatch.setattr(tools, "_go_version", lambda _: "go version go1.27.0 linux/amd64")
    assert tools.stale_go_programs([name]) == [name]


def test_another_programs_modules_make_nobody_else_stale(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of Ollama would otherwise cost the control plane's build, on every machine."""
    tools_folder = tmp_path / "checkout" / "tools"
    (tools_folder / "ollama").mkdir(parents=True)
    for folder in (tools_folder, tools_folder / "ollama"):
        (folder / "go.mod").write_text("module x\n")
        (folder / "go.sum").write_text("")
    monkeypatch.setattr(tools, "repository", lambda: tools_folder.parent)
    names = ["livekit-server", "ollama"]
    for name in names:
        _put(cache, name)
        (cache / f"{name}.stamp").write_text(tools._stamp(name))
    (tools_folder / "ollama" / "go.mod").write_text("module y\n")
    assert tools.stale_go_programs(names) == ["ollama"]


def test_the_clusters_programs_are_built_from_one_module() -> None:
    """What one has compiled the others need not."""
    folders = {tools._module(name) for name in ("kube-apiserver", *node.PROGRAMS[:2], "kubelet")}
    [folder] = folders
    assert (
        f"replace k8s.io/kubelet => k8s.io/kubelet v0{tools.KUBERNETES[1:]}"
        in (folder / "go.mod").read_text()
    )


def test_without_go_what_is_there_is_taken(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_go() -> tuple[str, ...]:
        raise ToolMissing("no Go")

    monkeypatch.setattr(tools, "_go", no_go)
    _put(cache, "livekit-sip")
    assert tools.stale_go_programs(["livekit-sip"]) == []
    with pytest.raises(ToolMissing):
        tools.build_go_programs(lambda _: None, ["livekit-server"])


def test_the_api_server_knows_its_version() -> None:
    flags = tools._flags("kube-apiserver")
    assert flags.startswith("-s -w ")
    # A node says of itself what it is.
    assert tools._flags("kubelet") == flags
    assert "version.gitVersion=v1.36.3" in flags
    assert tools._flags("livekit-sip") == "-s -w"
