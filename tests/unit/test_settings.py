from pathlib import Path

import pytest

from ranker.errors import ConfigError
from streams.settings import Settings


def test_each_field_is_read_from_its_variable_and_converted() -> None:
    settings = Settings.from_environment(
        {"CTRLREC_PARTITIONS": "8", "CTRLREC_WEIGHT": "0.25", "CTRLREC_FUSION": "rrf", "PATH": "x"}
    )
    assert settings == Settings(partitions=8, weight=0.25, fusion="rrf")


@pytest.mark.parametrize("variable", ["CTRLREC_BUNDLE", "CTRLREC_KAFKA_CA"])
def test_paths_are_read_too(variable: str) -> None:
    settings = Settings.from_environment({variable: "some/where"})
    assert Path("some/where") in (settings.bundle, settings.kafka_ca)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CTRLREC_PARTITIONS", "0"),
        ("CTRLREC_PARTITIONS", "many"),
        ("CTRLREC_WEIGHT", "1.5"),
        ("CTRLREC_FUSION", "magic"),
        ("CTRLREC_KAFKA_BOOTSTRAP", ""),
        ("CTRLREC_MONITORING_PORT", "70000"),
        ("CTRLREC_PARTITION", "4"),
    ],
)
def test_what_is_wrong_is_named(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{variable}\b"):
        Settings.from_environment({variable: value})


@pytest.mark.parametrize("host", ["10.0.0.1", "kafka", "128.0.0.1", "localhost.example", "127.evil.example"])
def test_texts_do_not_leave_the_machine_in_the_clear_unless_that_is_allowed(host: str) -> None:
    environment = {"CTRLREC_KAFKA_BOOTSTRAP": f"127.0.0.1:9092,{host}:9092"}
    login = {"CTRLREC_KAFKA_USER": "worker", "CTRLREC_KAFKA_PASSWORD": "canary-7"}
    for more in ({}, login | {"CTRLREC_KAFKA_SECURITY": "SASL_PLAINTEXT"}):
        with pytest.raises(ConfigError, match=host):
            Settings.from_environment(environment | more)
    Settings.from_environment(environment | {"CTRLREC_KAFKA_PLAINTEXT_ANYWHERE": "true"})
    Settings.from_environment(environment | {"CTRLREC_KAFKA_SECURITY": "SSL"})
    Settings.from_environment(environment | login | {"CTRLREC_KAFKA_SECURITY": "SASL_SSL"})


@pytest.mark.parametrize("address", ["127.0.0.1:9092", "localhost:9092", "[::1]:9092", "127.8.8.8:1"])
def test_loopback_needs_no_permission(address: str) -> None:
    assert Settings.from_environment({"CTRLREC_KAFKA_BOOTSTRAP": address}).kafka_bootstrap == address


def test_a_login_needs_both_parts_and_shows_neither_in_a_log() -> None:
    login = {"CTRLREC_KAFKA_SECURITY": "SASL_SSL", "CTRLREC_KAFKA_USER": "worker"}
    with pytest.raises(ConfigError, match="CTRLREC_KAFKA_PASSWORD"):
        Settings.from_environment(login)
    settings = Settings.from_environment(login | {"CTRLREC_KAFKA_PASSWORD": "canary-7"})
    assert settings.kafka_password == "canary-7"
    assert "canary-7" not in repr(settings)
    assert "canary-7" not in str(settings)
    assert "kafka_user='worker'" in repr(settings)


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Settings().weight = 0.1  # type: ignore[misc]
