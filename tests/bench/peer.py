"""What the worker is compared with: a Quix Streams application with the same decoder, controls, rank() and encoder.

At least once as the worker is: it commits once a second, after all that it has produced is acknowledged by all replicas.
"""

import logging

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from quixstreams import Application

from ranker.bundle import Bundle
from ranker.run import Steering
from streams.settings import Settings
from streams.wire import decode_control
from tests.bench.contenders import OUTPUT
from tests.bench.ranking import ranker
from tests.bench.workload import USERS


def main() -> None:
    settings = Settings.from_environment()
    bundle = Bundle.load(settings.bundle, threads=1)
    call = ranker(bundle.model(settings.weight), read_controls(settings))
    app = Application(
        settings.kafka_bootstrap,
        consumer_group=settings.group,
        auto_offset_reset="earliest",
        auto_create_topics=False,
        commit_interval=settings.commit_interval,
        processing_guarantee="at-least-once",
        producer_extra_config={"acks": "all", "linger.ms": 5},
        loglevel=logging.WARNING,
    )
    raw = {"key_deserializer": "bytes", "value_deserializer": "bytes"}
    lists = app.dataframe(app.topic(settings.topic("candidates"), **raw))
    rankings = app.topic(settings.topic(OUTPUT), key_serializer="bytes", value_serializer="bytes")
    lists.apply(call).to_topic(rankings)
    app.run()


def read_controls(settings: Settings) -> dict[str, Steering]:
    """The controls of all users, as the worker reads them."""
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka_bootstrap, "group.id": "controls", "enable.auto.commit": False}
    )
    topic = settings.topic("controls")
    consumer.assign([TopicPartition(topic, place, OFFSET_BEGINNING) for place in range(settings.partitions)])
    steerings: dict[str, Steering] = {}
    while len(steerings) < USERS:
        for message in consumer.consume(USERS, 1.0):
            control = decode_control(message.value())
            steerings[control.user_id] = Steering.of(control)
    consumer.close()
    return steerings


if __name__ == "__main__":
    main()
