"""Rows of the settings and the adapters they name."""

import subprocess
import sys

import pytest
from tests.queues.house import furnish

from waypost.app.brokers import brokers
from waypost.config import ConfigError, load
from waypost.config.queue_rows import QueueRow, queue_rows
from waypost.queues.base import BrokerDown

KEY = "key_" + "0" * 26


def test_a_row_names_broker_queue_and_key():
    assert queue_rows((f"nats  orders.whatsapp {KEY}",)) == (QueueRow("nats", "orders.whatsapp", KEY),)


WRONG = (
    {"WAYPOST_QUEUES_SOURCES": f"kafka orders {KEY}"},
    {"WAYPOST_QUEUES_SOURCES": "nats orders key_short"},
    {"WAYPOST_QUEUES_SOURCES": f"nats orders.* {KEY}"},
    {"WAYPOST_QUEUES_SOURCES": f"nats orders {KEY},nats orders {KEY}"},
    {"WAYPOST_QUEUES_SOURCES": f"rabbitmq orders {KEY}"},
    {"WAYPOST_QUEUES_FORWARDS": f"rabbitmq events {KEY}"},
    {"WAYPOST_QUEUES_FORWARDS": f"nats orders {KEY}", "WAYPOST_QUEUES_SOURCES": f"nats orders {KEY}"},
    {"WAYPOST_QUEUES_NATS_URL": "http://broker"},
    {"WAYPOST_QUEUES_RABBITMQ_URL": "nats://broker"},
)


@pytest.mark.parametrize("environ", WRONG)
def test_rows_that_could_not_work_are_refused_at_once(environ):
    nats = {"WAYPOST_QUEUES_NATS_URL": "nats://127.0.0.1:4222"}
    with pytest.raises(ConfigError) as caught:
        load(nats | environ, None)
    assert len(caught.value.mistakes) == 1


def test_rows_are_read_from_the_environment():
    environ = {
        "WAYPOST_QUEUES_NATS_URL": "nats://a:4222,nats://b:4222",
        "WAYPOST_QUEUES_RABBITMQ_URL": "amqps://user:word@host/vhost",
        "WAYPOST_QUEUES_SOURCES": f"nats orders {KEY},rabbitmq orders {KEY}",
        "WAYPOST_QUEUES_FORWARDS": f"nats events {KEY}",
    }
    queues = load(environ, None).queues
    assert [(row.broker, row.queue) for row in queues.source_rows] == [
        ("nats", "orders"),
        ("rabbitmq", "orders"),
    ]
    assert [(row.broker, row.queue) for row in queues.forward_rows] == [("nats", "events")]
    assert "word" not in repr(queues)


async def test_the_settings_rows_become_sources_and_forwards_that_connect_when_stepped(tmp_path):
    house = await furnish(tmp_path)
    environ = {
        # Nobody listens on the discard port.
        "WAYPOST_QUEUES_NATS_URL": "nats://127.0.0.1:9",
        "WAYPOST_QUEUES_RABBITMQ_URL": "amqp://127.0.0.1:9/",
        "WAYPOST_QUEUES_SOURCES": f"nats a {house.key_id},rabbitmq a {house.key_id}",
        "WAYPOST_QUEUES_FORWARDS": f"nats b {house.key_id},rabbitmq b {house.key_id}",
        "WAYPOST_QUEUES_FORWARD_FROM": "beginning",
    }
    made = brokers(load(environ, None), house.store, house.acceptor, house.clock)
    assert [each.name for each in (*made.sources, *made.forwards)] == [
        "nats:a",
        "rabbitmq:a",
        "nats:b",
        "rabbitmq:b",
    ]
    for each in (*made.sources, *made.forwards):
        with pytest.raises(BrokerDown):
            await each.step()
    made.drain()
    await made.close()


_WITHOUT_CLIENTS = """
import sys
sys.modules["nats"] = sys.modules["aio_pika"] = None
from waypost.config import Queues
from waypost.config.queue_rows import queue_rows
from waypost.domain.errors import Unavailable
from waypost.queues.opening import open_sink, open_source
import waypost.app.brokers
for broker in ("nats", "rabbitmq"):
    (row,) = queue_rows((f"{broker} q key_" + "0" * 26,))
    for opened in (open_source, open_sink):
        try:
            opened(row, Queues())
        except Unavailable as missing:
            print(missing.remedy)
"""


def test_a_missing_client_is_told_by_the_name_of_its_extra_and_needed_by_nobody_else():
    run = subprocess.run(
        [sys.executable, "-c", _WITHOUT_CLIENTS], capture_output=True, text=True, check=False
    )
    expected = [f"pip install 'waypost[{extra}]'" for extra in ("nats", "nats", "rabbitmq", "rabbitmq")]
    assert run.stdout.splitlines() == expected, run.stderr
