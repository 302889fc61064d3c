"""What a topic's retention deletes is not missing from a replay without a word. The embedded broker deletes nothing."""

import pytest

from ranker.errors import BrokerError
from streams.settings import Settings


@pytest.mark.kafka
def test_records_that_were_deleted_since_a_replay_began(kafka: str) -> None:
    from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

    from streams.kafka import kafka_python_connection
    from streams.replay.kafkarange import KafkaRange
    from streams.replay.sources import Log
    from streams.topics import ensure_topics

    settings = Settings(kafka_bootstrap=kafka, topic_prefix="deleted.", partitions=1)
    ensure_topics(settings)
    producer = KafkaProducer(**kafka_python_connection(settings), acks="all")
    for _ in range(10):
        producer.send("deleted.candidates", b"{}", partition=0).get(10)
    producer.close()
    source = KafkaRange(Log("kafka"), settings)
    assert len(list(source.entries(("candidates",), lambda _: None))) == 10
    admin = KafkaAdminClient(**kafka_python_connection(settings))
    admin.delete_records({TopicPartition("deleted.candidates", 0): 6})
    admin.close()
    with pytest.raises(BrokerError, match=r"candidates\[0\]: the offsets 0 to 5 were deleted since the replay began"):
        list(source.entries(("candidates",), lambda _: None))
