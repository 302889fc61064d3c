"""The topics, and making them: once, by `ctrlrec topics`, so that a worker needs no right to."""

import time
from collections.abc import Collection
from typing import Any, NamedTuple

from ranker.errors import BrokerError
from streams.kafka import broker_errors, check_reachable, explained, kafka_python_connection
from streams.settings import Settings

KEPT_LETTERS = str(30 * 24 * 3600 * 1000)
"""Milliseconds. That something was withdrawn or deleted must be known for as long as a dead letter may be sent back that is
older."""
LASTING = {"cleanup.policy": "compact", "delete.retention.ms": KEPT_LETTERS}
# A worker that reads something old over what is newer writes the newer one again: while that is still there.
REPAIRED = LASTING | {"min.compaction.lag.ms": str(3600 * 1000)}
TOPICS: dict[str, dict[str, str]] = {
    "requests": {"cleanup.policy": "delete"},
    "candidates": {"cleanup.policy": "delete"},
    "rankings": {"cleanup.policy": "delete"},
    "controls": REPAIRED,
    "items": LASTING,
    "vectors": REPAIRED,
    "dead-letters": {"cleanup.policy": "delete", "retention.ms": KEPT_LETTERS},
    # Says which dead letters were sent back, so it must outlive them, and the segment that they lie in.
    "redriven": {"cleanup.policy": "delete", "retention.ms": str(60 * 24 * 3600 * 1000)},
}
"""Name without the prefix → configuration. `controls` and `vectors` hold what became of `requests` and `items`."""
SOURCES = ("requests", "candidates", "items")
"""Those whose records can become dead letters; nothing is ever sent back to any other."""
UNNEEDED = {"redriven"}
"""A worker starts without them: fleets from before these topics go on."""

NO_ERROR, TOPIC_ALREADY_EXISTS = 0, 36
READY_TIMEOUT = 15.0


class TopicState(NamedTuple):
    """One topic, as `ensure_topics` left it."""

    name: str
    partitions: int
    cleanup: str
    created: bool


def ensure_topics(settings: Settings) -> list[TopicState]:
    """Make the topics that are missing and return all of them, in the order of `TOPICS`; a second call changes nothing.

    Raises BrokerError when the broker cannot be reached or refuses, and when a topic is there with another number of
    partitions or another cleanup policy: neither can be put right without moving what the topic holds.
    """
    from kafka import KafkaAdminClient

    check_reachable(settings)
    with broker_errors(settings):
        admin = KafkaAdminClient(**kafka_python_connection(settings))
        try:
            there = _partitions(admin, settings, TOPICS)
            missing = [name for name in TOPICS if name not in there]
            if missing:
                _create(admin, settings, missing)
                there = _until_ready(admin, settings)
            _check(settings, there, _cleanup_policies(admin, settings))
        finally:
            admin.close()
    return [
        TopicState(settings.topic(name), there[name], configuration["cleanup.policy"], name in missing)
        for name, configuration in TOPICS.items()
    ]


def check_topics(settings: Settings) -> None:
    """Raise BrokerError unless all topics are there, with as many partitions wherever partitions must agree."""
    from kafka import KafkaAdminClient

    with broker_errors(settings):
        admin = KafkaAdminClient(**kafka_python_connection(settings))
        try:
            there = _partitions(admin, settings, TOPICS.keys() - UNNEEDED)
        finally:
            admin.close()
    if missing := [settings.topic(name) for name in TOPICS if name not in there and name not in UNNEEDED]:
        raise BrokerError(f"topics that are not there: {', '.join(missing)}; `ctrlrec topics` creates them")
    _agree(settings, there, ("requests", "candidates", "controls", "rankings", "dead-letters"))
    _agree(settings, there, ("items", "vectors"))


def _agree(settings: Settings, partitions: dict[str, int], names: tuple[str, ...]) -> None:
    """What comes of partition n of one topic goes to partition n of the next."""
    if len({partitions[name] for name in names}) > 1:
        counts = ", ".join(f"{settings.topic(name)} {partitions[name]}" for name in names)
        raise BrokerError(f"these topics must have the same number of partitions: {counts}")


def _partitions(admin: Any, settings: Settings, needed: Collection[str]) -> dict[str, int]:
    """Number of partitions of the topics that are there and have a leader for each. Raises BrokerError where one that is
    `needed` may not be looked at."""
    from kafka.errors import TopicAuthorizationFailedError

    names = {settings.topic(name): name for name in TOPICS}
    described = admin.describe_topics(list(names))
    for topic in described:
        if topic["error_code"] == TopicAuthorizationFailedError.errno and names[topic["name"]] in needed:
            raise explained(TopicAuthorizationFailedError(f"to describe {topic['name']}"), settings)
    return {
        names[topic["name"]]: len(topic["partitions"])
        for topic in described
        if topic["error_code"] == NO_ERROR
        and topic["partitions"]
        and all(partition["leader_id"] >= 0 for partition in topic["partitions"])
    }


def _create(admin: Any, settings: Settings, missing: list[str]) -> None:
    from kafka.errors import TopicAuthorizationFailedError

    # With the brokers' default of 1, a write would be acknowledged that a single broker's loss undoes.
    durability = {"min.insync.replicas": str(settings.replication - 1)} if settings.replication > 2 else {}
    wanted = {
        settings.topic(name): {
            "num_partitions": settings.partitions,
            "replication_factor": settings.replication,
            "configs": TOPICS[name] | durability,
        }
        for name in missing
    }
    for topic in admin.create_topics(wanted, raise_errors=False)["topics"]:
        if topic["error_code"] == TopicAuthorizationFailedError.errno:
            raise explained(TopicAuthorizationFailedError(f"to create {topic['name']}"), settings)
        # Another process may have been quicker; whether it made the same is checked afterwards.
        if topic["error_code"] not in (NO_ERROR, TOPIC_ALREADY_EXISTS):
            raise BrokerError(f"cannot create {topic['name']}: {topic['error_message'] or topic['error_code']}")


def _until_ready(admin: Any, settings: Settings) -> dict[str, int]:
    """A created topic takes a moment until every broker knows it and its partitions have leaders."""
    deadline = time.monotonic() + READY_TIMEOUT
    while (there := _partitions(admin, settings, TOPICS)).keys() != TOPICS.keys():
        if time.monotonic() > deadline:
            missing = ", ".join(sorted(TOPICS.keys() - there.keys()))
            raise BrokerError(f"topics not ready after {READY_TIMEOUT:.0f} s: {missing}")
        time.sleep(0.05)
    return there


def _cleanup_policies(admin: Any, settings: Settings) -> dict[str, str]:
    """As far as the broker tells: the embedded one does not."""
    from kafka.admin import ConfigResource, ConfigResourceType

    resources = [ConfigResource(ConfigResourceType.TOPIC, settings.topic(name)) for name in TOPICS]
    described = admin.describe_configs(resources, config_filter="all").get("topic", {})
    return {
        name: described[settings.topic(name)]["cleanup.policy"]["value"]
        for name in TOPICS
        if "cleanup.policy" in described.get(settings.topic(name), {})
    }


def _check(settings: Settings, partitions: dict[str, int], cleanup: dict[str, str]) -> None:
    wrong = [
        f"{settings.topic(name)} has {count} partitions instead of {settings.partitions}"
        for name, count in partitions.items()
        if count != settings.partitions
    ]
    wrong += [
        f"{settings.topic(name)} has cleanup.policy={cleanup[name]} instead of {configuration['cleanup.policy']}"
        for name, configuration in TOPICS.items()
        if name in cleanup and cleanup[name] != configuration["cleanup.policy"]
    ]
    if wrong:
        raise BrokerError(
            "; ".join(wrong) + ". Set CTRLREC_PARTITIONS to what is there if all topics agree on it, or choose another "
            "CTRLREC_TOPIC_PREFIX, or delete the topic"
        )
