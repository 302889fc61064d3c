"""TLS and logins on Apache Kafka: everything that connects gets in with the right ones, and with wrong ones says why."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from ranker.errors import BrokerError
from streams.client import Client
from streams.kafka import check_reachable
from streams.settings import Settings
from tests.kafkaserver import KafkaServer
from tests.live import ITEMS, Live, live_settings, new_id
from tests.tls import Authority, Listener
from tests.unit.tiny_towers import bundle_folder

USER, CANARY = "reader", "canary-password-7"
COMMANDS = (
    ["worker"],
    ["topics"],
    ["dead-letters", "list"],
    ["redrive", "--send"],
    ["record", "--once", "{folder}"],
    ["replay", "kafka", "--out", "{folder}"],
    ["ask", "no horror please", "--user", "asker", "--data", "{data}"],
)


class Guarded(NamedTuple):
    settings: Settings
    authority: Authority
    folder: Path


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A broker on `localhost` that speaks TLS alone and lets in one user."""
    home = os.environ.get("KAFKA_HOME")
    if not home:
        pytest.skip("KAFKA_HOME is not set: TLS is not tested on Apache Kafka")
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder / "authority")
    tls = authority.certificate("localhost"), authority.ca
    server = KafkaServer(Path(home), folder / "kafka", {USER: CANARY}, tls=tls, host="localhost")
    with server:
        settings = live_settings(
            server.bootstrap, bundle_folder(), kafka_security="SASL_SSL", kafka_user=USER, kafka_password=CANARY,
            kafka_ca=authority.ca,
        )  # fmt: skip
        yield Guarded(settings, authority, folder)


def command(settings: Settings, arguments: list[str]) -> "subprocess.CompletedProcess[str]":
    """`ctrlrec ...` with these settings, to its end; for `{folder}` it is given an empty one, for `{data}` a data set."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CTRLREC_")}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as data:
        (Path(data) / "items.csv").write_text("\n".join(["item_id,title", *(f"{item},Title" for item in ITEMS)]))
        (Path(data) / "interactions.csv").write_text(f"user_id,item_id\nasker,{ITEMS[0]}\n")
        given = [argument.format(folder=folder, data=data) for argument in arguments]
        return subprocess.run(
            [sys.executable, "-m", "streams.cli", *given],
            env=environment | settings.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.mark.kafka
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_everything_works_over_tls_with_a_login(guarded: Guarded, tmp_path: Path, mechanism: str) -> None:
    name = f"{mechanism.lower()}."
    settings = msgspec.structs.replace(guarded.settings, kafka_mechanism=mechanism, topic_prefix=name, group=name)
    check_reachable(settings)
    made = command(settings, ["topics"])
    assert (made.returncode, "created" in made.stdout) == (0, True), made.stderr
    with Live(settings, tmp_path) as live:
        with Client(settings) as client:
            wish = client.set_request("u", "no horror please", weight=1.0)
            ranking, _ = live.rank_until(lambda ranking: ranking.request_id == wish, "u")
            assert ranking.degraded is None
        asked = command(settings, COMMANDS[-1])
        assert (asked.returncode, "no horror please" in asked.stdout) == (0, True), asked.stderr
        late = live.dead_letter(live.send("candidates", b"{"))
        assert late.value == b"{"
        listed = command(settings, ["dead-letters", "list"])
        assert (listed.returncode, "malformed" in listed.stdout) == (0, True), listed.stderr
        sent = command(settings, ["redrive", "--send"])
        assert (sent.returncode, "1" in sent.stdout) == (0, True), sent.stderr
        assert live.outputs.until(lambda: len(live.outputs.dead) == 2)
        recorded = command(settings, ["record", "--once", "{folder}"])
        assert (recorded.returncode, "records written" in recorded.stdout) == (0, True), recorded.stderr
        assert not recorded.stdout.startswith("0 ")
        assert live.worker.stop() == 0
        ended = (made, asked, listed, sent, recorded)
        seen = live.worker.log.read_text() + "".join(each.stdout + each.stderr for each in ended)
        assert CANARY not in seen


def refusals(settings: Settings, says: str, commands: tuple[list[str], ...] = COMMANDS[:1]) -> None:
    """Each ends with one line that holds `says`, and without a secret; they take a second each, so seldom all of them."""
    for arguments in commands:
        ended = command(settings, arguments)
        lines = ended.stderr.strip().splitlines()
        assert (ended.returncode, len(lines)) == (2, 1), (arguments, ended)
        assert says in lines[0], (arguments, lines)
        for secret in (CANARY, str(settings.kafka_password)):
            assert secret not in ended.stdout + ended.stderr
    for attempt in (check_reachable, Client):
        with pytest.raises(BrokerError, match="cannot connect to Kafka") as refused:
            attempt(settings)
        assert says in str(refused.value)
        assert CANARY not in str(refused.value) + repr(settings)


@pytest.mark.kafka
def test_another_authority_is_not_trusted(guarded: Guarded) -> None:
    other = Authority(guarded.folder / "other")
    refusals(
        msgspec.structs.replace(guarded.settings, kafka_ca=other.ca), "has a certificate that is not trusted", COMMANDS
    )


@pytest.mark.kafka
def test_another_host_is_not_trusted(guarded: Guarded) -> None:
    """The certificate is of `localhost`."""
    port = guarded.settings.kafka_bootstrap.rpartition(":")[2]
    elsewhere = msgspec.structs.replace(guarded.settings, kafka_bootstrap=f"127.0.0.1:{port}")
    refusals(elsewhere, "IP address mismatch, certificate is not valid for '127.0.0.1'")


@pytest.mark.kafka
def test_a_wrong_password_is_refused(guarded: Guarded) -> None:
    for mechanism in ("PLAIN", "SCRAM-SHA-512"):
        wrong = msgspec.structs.replace(guarded.settings, kafka_password="wrong-canary-8", kafka_mechanism=mechanism)
        refusals(wrong, f"refuses user '{USER}'", COMMANDS if mechanism == "PLAIN" else ())


@pytest.mark.kafka
def test_plaintext_to_a_tls_port_is_refused(guarded: Guarded) -> None:
    plain = msgspec.structs.replace(
        guarded.settings, kafka_security="PLAINTEXT", kafka_user=None, kafka_password=None, kafka_ca=None
    )
    refusals(plain, "does it expect TLS?")


def test_nothing_is_sent_to_a_peer_that_is_not_trusted(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path / "other")
    for certificate, says in (
        (authority.certificate("localhost", expired=True), "certificate has expired"),
        (authority.certificate("elsewhere"), "certificate is not valid for 'localhost'"),
        (other.certificate("localhost"), "has a certificate that is not trusted"),
    ):
        with Listener(certificate) as peer:
            refusals(_login(peer, authority), says)
        assert bytes(peer.heard) == b""


def test_a_plaintext_peer_hears_no_password(tmp_path: Path) -> None:
    with Listener() as peer:
        refusals(_login(peer, Authority(tmp_path)), "is it a plaintext port?")
    assert peer.heard
    assert CANARY.encode() not in peer.heard
    assert USER.encode() not in peer.heard


def _login(peer: Listener, authority: Authority) -> Settings:
    return live_settings(
        f"localhost:{peer.port}", bundle_folder(), kafka_security="SASL_SSL", kafka_mechanism="PLAIN",
        kafka_user=USER, kafka_password=CANARY, kafka_ca=authority.ca, group=new_id(),
    )  # fmt: skip
