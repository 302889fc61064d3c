"""Kafka and Faust around the ranker: the wire format, the agents, the client, the replay."""
