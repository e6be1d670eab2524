"""What an operator may write, and what is said of a mistake."""

from pathlib import Path

import pytest

from shared.settings import Settings, SettingsError


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment that says nothing, in a folder without `.env`."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def test_defaults_need_nothing(tmp_path: Path) -> None:
    settings = Settings.load()

    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.data_dir == tmp_path / ".data"
    assert settings.uploads == (tmp_path / ".data" / "uploads").as_uri()
    assert list(settings.question_sources) == ["jservice", "opentdb", "bank"]


def test_the_environment_goes_before_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("PORT=8001\nMP3_QUALITY=4\n")
    monkeypatch.setenv("PORT", "8002")

    settings = Settings.load()

    assert (settings.port, settings.mp3_quality) == (8002, 4)


def test_an_empty_value_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "")

    assert Settings.load().port == 8000


def test_sources_are_asked_in_the_order_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUESTION_SOURCES", "bank, jservice=http://127.0.0.1:9000/api/random")

    sources = Settings.load().question_sources

    assert list(sources.items()) == [
        ("bank", None),
        ("jservice", "http://127.0.0.1:9000/api/random"),
    ]


def test_a_public_url_may_have_a_path_and_a_trailing_slash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PUBLIC_URL", "https://quaver.example/sounds/")

    assert Settings.load().public_url == "https://quaver.example/sounds"


def test_words_may_be_written_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")

    assert Settings.load().log_level == "debug"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("PORT", "eighty"),
        ("PUBLIC_URL", "quaver.example"),
        ("DATABASE_URL", "mysql://localhost/quaver"),
        ("REDIS_URL", "http://localhost"),
        ("UPLOADS_URL", "/srv/uploads"),
        ("UPLOADS_URL", "s3://"),
        ("UPLOADS_URL", "s3://Bucket"),
        ("QUESTION_SOURCES", "wikipedia"),
        ("QUESTION_SOURCES", ","),
        ("QUESTION_SOURCES", "bank=http://localhost"),
        ("MP3_QUALITY", "10"),
        ("MAX_QUESTIONS_PER_REQUEST", "1001"),
        ("FLOWER_BASIC_AUTH", "password"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "loud"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4318"),
    ],
)
def test_a_mistake_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=name):
        Settings.load()


def test_every_setting_is_in_the_example_file_and_in_the_readme() -> None:
    project = Path(__file__).parent.parent.parent
    example = (project / ".env.example").read_text()
    readme = (project / "README.md").read_text()

    for name in Settings.model_fields:
        assert name.upper() in example
        assert f"`{name.upper()}`" in readme
