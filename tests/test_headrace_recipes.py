"""`headrace sources show`: what it prints can be pasted, names the right place, and gives no secret away."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner, Result

from headrace.cli import app
from headrace.errors import HeadraceError
from headrace.recipes import RECIPES, filled

BY_NAME = {recipe.name: recipe for recipe in RECIPES}
Request = tuple[str, dict[str, str], bytes]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "headrace.toml"
    path.write_text(
        '[collector]\nhost = "0.0.0.0"\nport = 9090\n'
        '[sources.web]\nwrite_keys = ["hush", "hush2"]\norigins = ["https://shop.example.com"]\n'
        "[sources.open]\nwrite_keys = []\n"
    )
    return path


class Collector(BaseHTTPRequestHandler):
    """Keeps what it gets."""

    requests: list[Request] = []  # noqa: RUF012

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[str]:
    Collector.requests.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def headrace(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def ran(program: list[str], text: str) -> Request:
    got = subprocess.run([*program, text], capture_output=True, text=True, timeout=30, check=False)
    assert got.returncode == 0, got.stderr
    assert len(Collector.requests) == 1
    return Collector.requests[0]


def test_the_segment_recipe_for_python_sends_an_event(collector: str) -> None:
    key = "k-1"
    path, headers, body = ran(
        [sys.executable, "-c"], filled(BY_NAME["segment-python"], collector, "web", key)
    )
    assert path == "/v1/batch"
    assert headers["authorization"] == "Basic " + base64.b64encode(f"{key}:".encode()).decode()
    event = json.loads(body)["batch"][0]
    assert (event["type"], event["event"], event["userId"]) == ("track", "Order Completed", "user-1")


@pytest.mark.parametrize("key", ["k-1", ""])
def test_the_cloudevents_recipe_for_python_sends_an_event(collector: str, key: str) -> None:
    recipe = filled(BY_NAME["cloudevents-python"], collector, "web", key)
    path, headers, body = ran([sys.executable, "-c"], recipe)
    assert path == "/events"
    assert headers.get("authorization") == (f"Bearer {key}" if key else None)
    assert headers["ce-type"] == "com.example.order"
    assert json.loads(body)["userId"] == "user-1"


@pytest.mark.parametrize("key", ["k-1", ""])
@pytest.mark.may_skip
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_recipe_sends_an_event(collector: str, key: str) -> None:
    path, headers, body = ran(["sh", "-c"], filled(BY_NAME["curl"], collector, "web", key))
    assert path == "/events"
    assert headers.get("authorization") == (f"Bearer {key}" if key else None)
    assert json.loads(body)["id"] == "order-1"


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: str(recipe.name))
def test_every_recipe_names_place_and_key_and_leaves_no_gap(recipe: object) -> None:
    for key in ("k-1", ""):
        text = filled(recipe, "https://in.example.com:8443", "web", key)  # type: ignore[arg-type]
        assert not re.search(r"%[A-Z\[\]]", text)
        assert "in.example.com:8443" in text
        assert ("k-1" in text) == bool(key)


def test_a_write_key_is_printed_only_when_asked_for(config: Path) -> None:
    got = headrace("sources", "show", "web", "--config", str(config))
    assert got.exit_code == 0, got.exception
    assert "hush" not in got.stdout
    assert "YOUR_WRITE_KEY" in got.stdout
    assert "shop.example.com" in got.stdout
    asked = headrace("sources", "show", "web", "--config", str(config), "--keys")
    assert "Bearer hush'" in asked.stdout
    assert "hush2" not in asked.stdout


def test_the_address_is_one_that_a_client_can_use(config: Path, tmp_path: Path) -> None:
    got = headrace("sources", "show", "open", "--config", str(config))
    assert "http://127.0.0.1:9090/events" in got.stdout
    assert "0.0.0.0" not in got.stdout
    assert "authorization" not in got.stdout
    got = headrace("sources", "show", "open", "--config", str(config), "--url", "https://in.example.com/")
    assert "https://in.example.com/events" in got.stdout
    (tmp_path / "headrace-data" / "run").mkdir(parents=True)
    ready = tmp_path / "headrace-data" / "run" / "ready.json"
    ready.write_text('{"collector_url": "http://127.0.0.1:4711"}')
    assert "http://127.0.0.1:4711/events" in headrace("sources", "show", "demo").stdout
    assert "http://127.0.0.1:9090" in headrace("sources", "show", "open", "--config", str(config)).stdout


def test_a_port_that_is_chosen_at_the_start_is_said_to_be(config: Path) -> None:
    config.write_text("[collector]\nport = 0\n[sources.web]\n")
    got = headrace("sources", "show", "web", "--config", str(config))
    assert "port = 0 lets the collector choose at its start" in got.stdout
    assert "http://127.0.0.1:PORT/events" in got.stdout
    named = ["--url", "http://127.0.0.1:4711"]
    got = headrace("sources", "show", "web", "--config", str(config), *named)
    assert "PORT" not in got.stdout


def test_one_recipe_alone_is_nothing_but_its_text() -> None:
    got = headrace("sources", "show", "demo", "--sdk", "segment-python")
    assert got.stdout == filled(BY_NAME["segment-python"], "http://127.0.0.1:8080", "demo", "demo")


def test_what_is_not_there_is_named_with_what_there_is(config: Path) -> None:
    got = headrace("sources", "show", "shop", "--config", str(config))
    assert isinstance(got.exception, HeadraceError)
    assert "open, web" in str(got.exception)
    got = headrace("sources", "show", "demo", "--sdk", "cobol")
    assert "segment-node" in str(got.exception)
