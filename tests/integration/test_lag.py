"""What a worker says of what waits."""

import json
import time
from pathlib import Path

import pytest
from kafka import KafkaProducer

from streams.kafka import kafka_python_connection
from tests.live import Live, candidates, live_settings, new_id
from tests.prometheus import until
from tests.unit.tiny_towers import bundle_folder


def lags(live: Live) -> list[float]:
    return [
        value for name, value in live.worker.metrics().items() if name.startswith("feedranker_consumer_lag_events{")
    ]


def asked(live: Live) -> float:
    return live.worker.metrics()["feedranker_consumer_lag_timestamp_seconds"]


@pytest.mark.kafka
def test_the_marker_of_a_transaction_is_no_list_that_waits(kafka: str, tmp_path: Path) -> None:
    with Live(live_settings(kafka, bundle_folder(), partitions=1), tmp_path) as live:
        _publish_in_a_transaction(live)
        began = time.time()
        # It has been committed by then; of topics in which nothing ever was there is no figure.
        until(lambda: asked(live) > began + 2 and lags(live) == [0], 20)
        live.restart()
        until(lambda: asked(live) and lags(live) == [0], 20)


def _publish_in_a_transaction(live: Live) -> None:
    producer = KafkaProducer(**kafka_python_connection(live.settings), transactional_id=new_id())
    try:
        producer.init_transactions()
        producer.begin_transaction()
        event = candidates("reader")
        producer.send(live.settings.topic("candidates"), json.dumps(event).encode(), key=b"reader")
        producer.commit_transaction()
    finally:
        producer.close(timeout=5)
    live.ranking(event["event_id"])
