"""Fetching weights: a local server that speaks as much of the Hugging Face hub's protocol as a download needs."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save

from spurbench.backbones.hub import find_at_url, find_on_hub
from spurbench.errors import WeightsError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TINY = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1},
}
CONFIG, WEIGHTS, PICKLED = "open_clip_config.json", "open_clip_model.safetensors", "open_clip_pytorch_model.bin"

RESOLVE = """
import json, sys
from pathlib import Path
from spurbench.backbones import Setting, resolve
from spurbench.errors import SpurbenchError
from spurbench.registry import load_registries
cache, fetch, load, *names = sys.argv[1:]
for name in names:
    try:
        backbone = resolve(load_registries().backbones, name, Setting(Path(cache), fetch=fetch == "fetch"))
        shown = {"name": backbone.card.name, "weights": str(backbone.weights), "fingerprint": backbone.fingerprint}
        if load == "load":
            shown["text"] = backbone.load("cpu").encode_text(["a bird"])[0].tolist()
    except SpurbenchError as error:
        shown = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(shown))
"""


@dataclass
class Hub:
    """Repositories by name, each a dictionary of files; `log` holds every request."""

    repositories: dict[str, dict[str, bytes]]
    log: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub: Hub, *args: Any) -> None:
        self.hub = hub
        super().__init__(*args)

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        self.hub.log.append((self.command, self.path))
        parts = self.path.split("?")[0].strip("/").split("/")
        repository, name = "/".join(parts[:2]), "/".join(parts[4:])
        files = self.hub.repositories.get(repository)
        content = None if files is None or parts[2:3] != ["resolve"] else files.get(name)
        self.send_response(200 if content is not None else 404)
        self.send_header("X-Repo-Commit", COMMIT)
        if content is None:
            self.send_header("X-Error-Code", "RepoNotFound" if files is None else "EntryNotFound")
        else:
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Linked-Size", str(len(content)))
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        if body and content:
            self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def model_files() -> dict[str, bytes]:
    torch.manual_seed(0)
    model = open_clip.CLIP(**TINY)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    return {CONFIG: json.dumps({"model_cfg": TINY}).encode(), WEIGHTS: save(state)}


@pytest.fixture
def hub(model_files: dict[str, bytes]) -> Iterator[Hub]:
    served = Hub(
        {
            "org/tiny": model_files,
            "org/config-only": {CONFIG: model_files[CONFIG]},
            "timm/resnet50_clip.openai": {WEIGHTS: model_files[WEIGHTS]},
            "files/at": {"a.bin": b"content", "page-0123456789.pth": b"<html>sign in</html>"},
        }
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, served))
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield served
    server.shutdown()
    server.server_close()


def run(home: Path, endpoint: str, *names: str, load: bool = False) -> list[dict[str, Any]]:
    """What resolving gives in a process of its own: the hub's address and cache are read when it is imported."""
    environment = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home / "hf"), "HOME": str(home), "HF_HUB_OFFLINE": "0"}
    call = [str(home / "cache"), "fetch", "load" if load else "describe", *names]
    done = subprocess.run(
        [sys.executable, "-c", RESOLVE, *call], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def nobody() -> str:
    """An address at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_a_hub_model_is_fetched_once_and_then_needs_no_hub(
    hub: Hub, nobody: str, tmp_path: Path, model_files: dict[str, bytes]
) -> None:
    (fetched,) = run(tmp_path, hub.url, "hf-hub:org/tiny", load=True)
    assert Path(fetched["weights"]).read_bytes() == model_files[WEIGHTS]
    assert Path(fetched["weights"]).is_relative_to(tmp_path / "hf" / "hub" / "models--org--tiny")
    assert ("GET", f"/org/tiny/resolve/{COMMIT}/{WEIGHTS}") in hub.log or (
        "GET",
        f"/org/tiny/resolve/main/{WEIGHTS}",
    ) in hub.log
    sha256 = hashlib.sha256(model_files[WEIGHTS]).hexdigest()
    assert fetched["name"] == f"hf-hub:org/tiny@{sha256[:8]}"
    torch.manual_seed(0)
    model = open_clip.CLIP(**TINY).eval()
    tokens = open_clip.SimpleTokenizer(context_length=8)(["a bird"])
    with torch.inference_mode():
        assert fetched["text"] == pytest.approx(model.encode_text(tokens)[0].tolist(), rel=1e-4, abs=1e-5)

    requests = len(hub.log)
    (again,) = run(tmp_path, nobody, "hf-hub:org/tiny", load=True)
    assert again == fetched
    assert len(hub.log) == requests


def test_a_tag_of_open_clip_is_fetched_and_what_does_not_fit_is_said(hub: Hub, tmp_path: Path) -> None:
    described, again = run(tmp_path, hub.url, "RN50", "RN50:openai", load=True)
    assert described == again
    assert [(verb, path) for verb, path in hub.log if verb == "GET" and "/resolve/" in path] == [
        ("GET", hub.log[-1][1])
    ]
    assert described["error"] == "WeightsError"
    assert WEIGHTS in described["message"]
    assert "do not fit the architecture" in described["message"]
    assert "models--timm--resnet50_clip.openai" in described["message"]


def test_repositories_that_lack_files_are_said_to(hub: Hub, tmp_path: Path) -> None:
    no_weights, no_repository, no_name, no_config = run(
        tmp_path, hub.url, "hf-hub:org/config-only", "hf-hub:org/absent", "hf-hub:org/a..b", "hf-hub:files/at"
    )
    for answer in (no_weights, no_repository, no_name, no_config):
        assert answer["error"] == "WeightsError"
        assert "\n" not in answer["message"]
    for part in (WEIGHTS, PICKLED, "org/config-only", "has no such file"):
        assert part in no_weights["message"]
    assert "no such repository" in no_repository["message"]
    assert "cannot be a hub repository" in no_name["message"]
    assert CONFIG in no_config["message"]


def test_an_unreachable_hub_is_one_message_and_no_long_wait(nobody: str, tmp_path: Path) -> None:
    started = time.monotonic()
    hub_model, tag = run(tmp_path, nobody, "hf-hub:org/tiny", "RN50")
    # Both, starting Python and importing torch on a busy machine included; one download that retries takes 23 s.
    assert time.monotonic() - started < 30
    for answer in (hub_model, tag):
        assert answer["error"] == "WeightsError"
        assert "the hub cannot be reached" in answer["message"]
        assert str(tmp_path / "hf" / "hub") in answer["message"]
        assert "\n" not in answer["message"]


def test_an_unreachable_hub_is_asked_once_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: list[str] = []

    def unreachable(url: str) -> str:
        asked.append(url.rpartition("/")[2])
        raise ConnectionError("no connection")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", unreachable)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(WeightsError, match="cannot be reached .ConnectionError: no connection"):
        find_on_hub("org/never-cached-here", [WEIGHTS, PICKLED], fetch=True)
    assert asked == [WEIGHTS]
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE forbids fetching"):
        find_on_hub("org/never-cached-here", [WEIGHTS], fetch=True)
    assert asked == [WEIGHTS]


def test_files_at_urls(hub: Hub, nobody: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    url = f"{hub.url}/files/at/resolve/main/a.bin"
    with pytest.raises(WeightsError, match="not fetched yet"):
        find_at_url(url, tmp_path / "cache", fetch=False)
    assert find_at_url(url, tmp_path / "cache", fetch=True).read_bytes() == b"content"
    requests = len(hub.log)
    assert find_at_url(url, tmp_path / "cache", fetch=True).read_bytes() == b"content"
    assert len(hub.log) == requests == 1
    with pytest.raises(WeightsError, match="cannot be fetched"):
        find_at_url(f"{nobody}/x.pt", tmp_path / "cache", fetch=True)
    with pytest.raises(WeightsError, match="invalid hash value"):
        find_at_url(f"{hub.url}/files/at/resolve/main/page-0123456789.pth", tmp_path / "cache", fetch=True)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["a.bin"]
