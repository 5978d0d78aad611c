"""Settings from the environment, refused with their name when wrong."""

import dataclasses

import pytest

from cenote.control import Settings
from cenote.errors import ConfigurationError


def test_the_defaults_are_loopback_without_a_token():
    settings = Settings.from_env({})
    assert (settings.host, settings.port, settings.token) == ("127.0.0.1", 8338, None)


def test_every_field_can_come_from_the_environment():
    environ = {
        "CENOTE_HOST": "0.0.0.0",
        "CENOTE_PORT": "8400",
        "CENOTE_TOKEN": "s3cret",
        "CENOTE_VIEWER_TOKEN": "viewers",
        "CENOTE_SESSION_SECONDS": "60",
        "CENOTE_ALLOWED_HOSTS": "a.example, b.example,",
        "CENOTE_ALLOWED_ORIGINS": "https://ops.example",
        "CENOTE_MAX_BODY_BYTES": "1000",
        "CENOTE_MAX_STREAMS": "3",
        "CENOTE_HEARTBEAT_SECONDS": "2.5",
        "CENOTE_STREAM_SECONDS": "60",
        "CENOTE_LOG_FORMAT": "json",
    }
    assert environ.keys() == {f"CENOTE_{field.name.upper()}" for field in dataclasses.fields(Settings)}
    assert Settings.from_env(environ) == Settings(
        host="0.0.0.0",
        port=8400,
        token="s3cret",
        viewer_token="viewers",
        session_seconds=60.0,
        allowed_hosts=("a.example", "b.example"),
        allowed_origins=("https://ops.example",),
        max_body_bytes=1000,
        max_streams=3,
        heartbeat_seconds=2.5,
        stream_seconds=60.0,
        log_format="json",
    )


def test_arguments_beat_the_environment_and_none_does_not():
    settings = Settings.from_env({"CENOTE_PORT": "1", "CENOTE_TOKEN": "env"}, port=2, token=None)
    assert (settings.port, settings.token) == (2, "env")


def test_an_empty_variable_counts_as_absent():
    assert Settings.from_env({"CENOTE_TOKEN": "", "CENOTE_PORT": " "}) == Settings()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "cache.example", "::ffff:10.0.0.1"])
def test_serving_beyond_loopback_without_a_token_is_refused(host):
    with pytest.raises(ConfigurationError, match="CENOTE_TOKEN"):
        Settings(host=host)
    assert Settings(host=host, token="t").host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.5.5.5", "::1", "[::1]", "localhost", "LocalHost"])
def test_loopback_needs_no_token(host):
    assert Settings(host=host).token is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CENOTE_HOST", "not a host"),
        ("CENOTE_HOST", "http://127.0.0.1"),
        ("CENOTE_PORT", "eighty"),
        ("CENOTE_PORT", "-1"),
        ("CENOTE_PORT", "65536"),
        ("CENOTE_TOKEN", "two words"),
        ("CENOTE_TOKEN", "schlüssel"),
        ("CENOTE_ALLOWED_HOSTS", "https://a.example"),
        ("CENOTE_ALLOWED_HOSTS", "a.example:80"),
        ("CENOTE_ALLOWED_ORIGINS", "ops.example"),
        ("CENOTE_ALLOWED_ORIGINS", "https://ops.example/"),
        ("CENOTE_MAX_BODY_BYTES", "0"),
        ("CENOTE_MAX_STREAMS", "-1"),
        ("CENOTE_HEARTBEAT_SECONDS", "0"),
        ("CENOTE_HEARTBEAT_SECONDS", "nan"),
        ("CENOTE_STREAM_SECONDS", "soon"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_the_name_of_its_setting(name, value):
    with pytest.raises(ConfigurationError, match=name):
        Settings.from_env({name: value})


def test_an_unknown_argument_is_refused():
    with pytest.raises(ConfigurationError, match="prot"):
        Settings.from_env({}, prot=1)


def test_the_token_is_never_shown():
    assert "hunter2" not in repr(Settings(token="hunter2"))
    with pytest.raises(ConfigurationError) as caught:
        Settings(token="hunter2 \x00")
    assert "hunter2" not in str(caught.value)


def test_settings_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().port = 1
