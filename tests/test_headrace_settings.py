"""Settings: what may be said, what is refused, and how the parts reach the programs."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from headrace.errors import SettingsError
from headrace.settings import Settings, TopicSettings, load
from headrace.settings_faults import EXPECTED
from ingest.settings import SourceSettings
from sink.settings import ColumnSettings

FULL = """
[collector]
port = 18080
workers = 2
[kafka]
bootstrap_servers = "127.0.0.1:9092"
compression = "lz4"
[lake]
url = "file:///tmp/lake"
[sources.web]
write_keys = ["secret-key"]
topic = "clicks"
[topics.clicks]
partitions = 4
lanes = 2
roll_seconds = 3
[topics.clicks.columns]
price = { path = "$.properties.price", type = "double" }
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "headrace.toml"
    path.write_text(text)
    return path


def test_each_program_gets_its_part(tmp_path: Path) -> None:
    settings = load(written(tmp_path, FULL))
    ingest, land = settings.ingest(), settings.land()
    assert ingest.topics["clicks"].partitions == 4
    assert ingest.produce.compression == "lz4"
    assert land.tables["clicks"].lanes == 2
    assert land.tables["clicks"].columns["price"].type == "double"
    assert set(land.tables) == {"clicks", "headrace.quarantine"} == set(ingest.topics)


def test_a_variable_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, FULL)
    monkeypatch.setenv("HEADRACE__KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1234")
    settings = load(path)
    assert settings.kafka.bootstrap_servers == "127.0.0.1:1234"
    assert settings.kafka.compression == "lz4"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[collector]\nprot = 1\n", "collector.prot = 1: no such key; did you mean port?"),
        ("[collektor]\nport = 1\n", "collektor: no such key; did you mean collector?"),
        ("[spool]\nzzz = 1\n", "spool.zzz = 1: no such key; expected one of bytes_max, dir"),
        ("[sources.web.limits]\nbody_max = 1\n", "did you mean body_bytes_max?"),
        ("[topics.t.columns.a]\npath='$.a'\ntype='int64'\ntipe=1\n", "did you mean type?"),
        ("[topics.t.columns.a]\npath='$.a'\n", "topics.t.columns.a.type: is missing"),
        ("[topics.t.columns.a]\npath='a'\ntype='int64'\n", "expected a path such as $.properties.price"),
        ("[sources.'a b']\n", "sources.a b: the name: expected 1 to 200 letters"),
        ("[sources]\nweb = 3\n", "sources.web = 3: expected a table"),
        ("[collector]\nport = 65536\n", "less than or equal to 65535"),
        ("[limits]\nheader_seconds_max = 30\n", "less than 30"),
        ("[limits]\nbody_seconds_max = 60\n", "less than 60"),
        ("[sources.web]\nack = 'maybe'\n", "'kafka', 'disk' or 'memory'"),
        ("[topics.events]\nlanes = 0\n", "greater than or equal to 1"),
        ("[lake]\nurl = 'ftp://x'\n", "lake.url"),
        ("[collector\n", "is not TOML"),
    ],
)
def test_what_is_wrong_stops_the_start_and_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(written(tmp_path, text))
    assert says in str(caught.value)


def test_several_mistakes_stand_on_lines_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(written(tmp_path, "[collector]\nprot = 1\nport = 70000\n"))
    first, *lines = str(caught.value).splitlines()
    assert first.endswith("headrace.toml: 2 mistakes")
    assert [line.split()[0] for line in lines] == ["collector.port", "collector.prot"]


def test_every_pattern_of_the_settings_has_words() -> None:
    patterns: set[str] = set()

    def look(part: object) -> None:
        if isinstance(part, dict):
            patterns.update(part["pattern"] for _ in "x" if isinstance(part.get("pattern"), str))
            patterns.update(part.get("patternProperties", ()))
            for inner in part.values():
                look(inner)
        elif isinstance(part, list):
            for inner in part:
                look(inner)

    look(Settings.model_json_schema())
    assert patterns == set(EXPECTED)


@pytest.mark.parametrize(("key", "good"), [("header_seconds_max", 29.9), ("body_seconds_max", 59.9)])
def test_the_inner_side_of_a_bound_is_taken(tmp_path: Path, key: str, good: float) -> None:
    settings = load(written(tmp_path, f"[limits]\n{key} = {good}\n"))
    assert getattr(settings.limits, key) == good


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(written(tmp_path, "[sources.web]\nwrite_keys = 'hush-hush'\n"))
    assert "hush-hush" not in str(caught.value)
    with pytest.raises(SettingsError, match="in one source only") as caught:
        load(written(tmp_path, "[sources.a]\nwrite_keys = ['hush']\n[sources.b]\nwrite_keys = ['hush']\n"))
    assert "hush" not in str(caught.value)
    assert "hush" not in repr(load(written(tmp_path, "[sources.web]\nwrite_keys = ['hush-hush']\n")))


def test_an_unknown_variable_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE__COLLEKTOR__PORT", "1")
    with pytest.raises(SettingsError) as caught:
        load(None)
    assert "HEADRACE__COLLEKTOR__PORT" in str(caught.value)


def test_an_unknown_key_in_a_variable_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE__COLLECTOR__PROT", "1")
    with pytest.raises(SettingsError) as caught:
        load(None)
    assert "prot" in str(caught.value)


def test_every_setting_says_what_it_means() -> None:
    def silent(model: type[BaseModel], path: str) -> list[str]:
        found: list[str] = []
        for name, field in model.model_fields.items():
            inner = field.annotation
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                found += silent(inner, f"{path}{name}.")
            elif field.description is None:
                found.append(f"{path}{name}")
        return found

    parts = (Settings, SourceSettings, TopicSettings, ColumnSettings)
    named_by_the_user = {"sources", "topics", "path", "type"}
    assert {key for part in parts for key in silent(part, "")} <= named_by_the_user
