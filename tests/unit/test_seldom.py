import logging

from streams.seldom import Seldom


def test_the_same_message_is_said_once_in_a_while() -> None:
    now = 100.0
    seldom = Seldom("aiokafka", 10, lambda: now)

    def said(message: str, *arguments: object, name: str = "aiokafka") -> bool:
        return seldom.filter(logging.LogRecord(name, logging.ERROR, "", 0, message, arguments, None))

    assert said("cannot reach %s", 1)
    assert not said("cannot reach %s", 2)
    assert said("something else")
    assert said("cannot reach %s", 1, name="aiokafka.conn")
    assert said("of our own", name="streams.app")
    assert said("of our own", name="streams.app")
    now += 9.9
    assert not said("cannot reach %s", 1)
    now += 0.1
    assert said("cannot reach %s", 1)
