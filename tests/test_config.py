"""Settings: defaults, both sources, and mistakes that are all told at once and never show a secret."""

import base64
from pathlib import Path

import pytest

from waypost.config import Config, ConfigError, find_file, load, render_docs, settings

KEY = base64.b64encode(bytes(range(32))).decode()


def write(directory: Path, text: str) -> Path:
    file = directory / "waypost.toml"
    file.write_text(text, encoding="utf-8")
    return file


def mistakes(environ: dict[str, str], file: Path | None = None) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load(environ, file)
    return {each.setting: str(each) for each in caught.value.mistakes}


def test_without_any_settings_the_defaults_hold() -> None:
    assert load({"PATH": "/bin", "HOME": "/"}, None) == Config()


def test_every_default_passes_its_own_check() -> None:
    for each in settings():
        if each.default is not None:
            raw = list(each.default) if isinstance(each.default, tuple) else each.default
            assert each.check(raw) == (each.default, None), each.name


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    file = write(
        tmp_path, "[http]\nport = 9000\ndrain_seconds = 5\n[webhooks]\nretry_delays_seconds = [1, 2.5]\n"
    )
    config = load({"WAYPOST_HTTP_PORT": "9100", "WAYPOST_CLOUD_API_GRAPH_VERSION": "v27.0"}, file)
    assert (config.http.port, config.http.drain_seconds) == (9100, 5.0)
    assert config.cloud_api.graph_version == "v27.0"
    assert config.webhooks.retry_delays_seconds == (1.0, 2.5)


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("WAYPOST_METRICS_ENABLED", "no", False),
        ("WAYPOST_METRICS_ENABLED", "TRUE", True),
        ("WAYPOST_HTTP_TRUSTED_PROXIES", "10.0.0.0/8, ::1", ("10.0.0.0/8", "::1")),
        ("WAYPOST_WEBHOOKS_RETRY_DELAYS_SECONDS", "1,5,5", (1.0, 5.0, 5.0)),
        ("WAYPOST_OUTBOX_BACKOFF_SECONDS_MIN", "0.5", 0.5),
        ("WAYPOST_LOG_LEVEL", "debug", "debug"),
    ],
)
def test_a_variable_becomes_the_type_of_its_setting(variable: str, text: str, value: object) -> None:
    config = load({variable: text}, None)
    setting = next(each for each in settings() if each.variable == variable)
    assert getattr(getattr(config, setting.section), setting.field) == value


def test_all_mistakes_are_told_at_once_with_source_and_remedy(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        'colour = 1\nlog = 3\n[http]\nprot = 80\nport = "80"\n[store]\nbatch_rows_max = 0\n'
        "read_connections = true\n"
        '[htp]\nport = 1\n[secrets]\nmaster_key = "x"\n[outbox]\nlease_seconds = 10\n',
    )
    told = mistakes(
        {"WAYPOST_LOG_LEVEL": "inof", "WAYPOST_HTTP_PROT": "1", "WAYPOST_CLOUD_API_BASE_URL": "ftp://x"}, file
    )
    assert set(told) == {
        "colour", "log", "http.prot", "http.port", "store.batch_rows_max", "store.read_connections", "htp",
        "secrets.master_key", "outbox.lease_seconds", "log.level", "WAYPOST_HTTP_PROT", "cloud_api.base_url",
    }  # fmt: skip
    assert "did you mean http.port?" in told["http.prot"]
    assert "did you mean http?" in told["htp"]
    assert "did you mean WAYPOST_HTTP_PORT?" in told["WAYPOST_HTTP_PROT"]
    assert "WAYPOST_LOG_LEVEL" in told["log.level"]
    assert "did you mean info?" in told["log.level"]
    assert "WAYPOST_SECRETS_MASTER_KEY" in told["secrets.master_key"]
    assert str(file) in told["http.port"]
    assert "at least 1" in told["store.batch_rows_max"]


@pytest.mark.parametrize(
    ("environ", "setting"),
    [
        ({"WAYPOST_HTTP_PORT": "65536"}, "http.port"),
        ({"WAYPOST_HTTP_PORT": "8080.5"}, "http.port"),
        ({"WAYPOST_HTTP_HOST": ""}, "http.host"),
        ({"WAYPOST_HTTP_PUBLIC_URL": "https://user:word@example.org"}, "http.public_url"),
        ({"WAYPOST_HTTP_PUBLIC_URL": "https://example.org:99999"}, "http.public_url"),
        ({"WAYPOST_HTTP_TRUSTED_PROXIES": "10.0.0.1/8"}, "http.trusted_proxies"),
        ({"WAYPOST_OUTBOX_LEASE_SECONDS": "nan"}, "outbox.lease_seconds"),
        ({"WAYPOST_METRICS_ENABLED": "maybe"}, "metrics.enabled"),
        ({"WAYPOST_WEBHOOKS_RETRY_DELAYS_SECONDS": "5,1"}, "webhooks.retry_delays_seconds"),
        ({"WAYPOST_WEBHOOKS_RETRY_DELAYS_SECONDS": "5,soon"}, "webhooks.retry_delays_seconds"),
        ({"WAYPOST_CLOUD_API_GRAPH_VERSION": "26"}, "cloud_api.graph_version"),
        ({"WAYPOST_STORE_PATH": " "}, "store.path"),
        ({"WAYPOST_HTTP_HOST": "0.0.0.0"}, "http.host"),
        ({"WAYPOST_OUTBOX_LEASE_SECONDS": "20"}, "outbox.lease_seconds"),
        ({"WAYPOST_OUTBOX_BACKOFF_SECONDS_MIN": "901"}, "outbox.backoff_seconds_min"),
        ({"WAYPOST_OUTBOX_IN_FLIGHT_MAX": "4"}, "outbox.per_number_in_flight_max"),
        ({"WAYPOST_WEBHOOKS_IN_FLIGHT_MAX": "4"}, "webhooks.per_subscriber_in_flight_max"),
        ({"WAYPOST_STORE_QUEUE_ROWS_MAX": "8"}, "store.queue_rows_max"),
        ({"WAYPOST_METRICS_PUBLIC": "1", "WAYPOST_HTTP_ALLOW_PUBLIC_BIND": "1"}, "metrics.public"),
    ],
)
def test_a_value_that_is_not_acceptable_is_refused(environ: dict[str, str], setting: str) -> None:
    assert set(mistakes(environ)) == {setting}


def test_a_public_address_needs_an_explicit_yes() -> None:
    config = load({"WAYPOST_HTTP_HOST": "0.0.0.0", "WAYPOST_HTTP_ALLOW_PUBLIC_BIND": "true"}, None)
    assert not config.http.is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_loopback_in_every_spelling_is_loopback(host: str) -> None:
    assert load({"WAYPOST_HTTP_HOST": host}, None).http.is_loopback


def test_a_secret_is_never_shown() -> None:
    config = load({"WAYPOST_SECRETS_MASTER_KEY": KEY}, None)
    assert config.secrets.master_key_bytes == bytes(range(32))
    assert KEY not in repr(config)
    told = mistakes({"WAYPOST_SECRETS_MASTER_KEY": "hunter2"})
    assert "hunter2" not in told["secrets.master_key"]
    assert "openssl" in told["secrets.master_key"]


def test_a_refused_url_does_not_show_its_password() -> None:
    assert (
        "word"
        not in mistakes({"WAYPOST_CLOUD_API_BASE_URL": "https://me:word@meta.example"})["cloud_api.base_url"]
    )


def test_variables_that_kubernetes_sets_for_a_service_called_waypost_are_no_mistakes() -> None:
    environ = {
        "WAYPOST_PORT": "tcp://10.0.0.1:80",
        "WAYPOST_SERVICE_HOST": "10.0.0.1",
        "WAYPOST_PORT_80_TCP": "x",
    }
    assert load(environ, None) == Config()


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"[http\n", "not TOML"), (b'[http]\nhost = "\xff"\n', "not UTF-8"), (None, "can't be read")],
)
def test_a_file_that_cannot_be_read_is_one_mistake_beside_the_others(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "waypost.toml"
    if content is not None:
        file.write_bytes(content)
    told = mistakes({"WAYPOST_HTTP_PORT": "x"}, file)
    assert set(told) == {"the file", "http.port"}
    assert said in told["the file"]


def test_the_file_is_the_named_one_or_the_usual_one(tmp_path: Path) -> None:
    assert find_file({}, tmp_path) is None
    usual = write(tmp_path, "")
    assert find_file({}, tmp_path) == usual
    assert find_file({"WAYPOST_CONFIG": "/etc/waypost.toml"}, tmp_path) == Path("/etc/waypost.toml")


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"WAYPOST_HTTP_HOST": "::1"}, "http://[::1]:8080"),
        ({"WAYPOST_HTTP_PUBLIC_URL": "https://gw.example.org/"}, "https://gw.example.org"),
    ],
)
def test_the_base_url_is_derived(environ: dict[str, str], url: str) -> None:
    assert load(environ, None).http.base_url == url


def test_claims_never_exceed_the_connections_there_are() -> None:
    assert load({"WAYPOST_CLOUD_API_CONNECTIONS_MAX": "40"}, None).claims_in_flight_max == 40
    assert load({"WAYPOST_CLOUD_API_CONNECTIONS_MAX": "900"}, None).claims_in_flight_max == 512


def test_webhooks_are_tried_for_at_least_three_days() -> None:
    assert sum(Config().webhooks.retry_delays_seconds) >= 3 * 86_400


def test_there_are_at_most_sixty_settings_and_the_page_names_each() -> None:
    page = render_docs()
    assert 40 < len(settings()) <= 60
    assert all(f"`{each.name}`" in page and each.metadata["help"] in page for each in settings())
