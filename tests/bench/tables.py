"""Makes a table on the broker larger, by rows like those it has: the same values, other keys.

The rows go in without a transaction, in batches of the producer's own making; those of workers are
in transactions of some hundred. It takes the client library of `scripts/kafka client-newest`.
"""
import itertools
import sys

import broker

ROWS_MAX = 30000
READ_SECONDS_MAX = 30


def rows_of(address, topic, partitions):
    """Partition, key, value and headers of the first ROWS_MAX rows."""
    from confluent_kafka import Consumer, TopicPartition  # pylint: disable=import-outside-toplevel
    consumer = Consumer({"bootstrap.servers": address, "group.id": "bench",
                         "auto.offset.reset": "earliest", "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
    rows, ends = [], 0
    while ends < partitions and len(rows) < ROWS_MAX:
        messages = consumer.consume(1000, READ_SECONDS_MAX)
        if not messages:
            raise broker.Failed(f"could not read '{topic}': no end")
        ends += sum(m.error() is not None for m in messages)
        rows += [(m.partition(), m.key(), m.value(), m.headers()) for m in messages
                 if not m.error() and m.value()]
    consumer.close()
    return rows


def enlarge(address, topic, partitions, size_of, size):
    """Until size_of() says that the topic has so many bytes."""
    sys.path.insert(0, broker.script("client-newest", "--python").splitlines()[-1])
    from confluent_kafka import Producer  # pylint: disable=import-outside-toplevel
    rows = rows_of(address, topic, partitions)
    producer = Producer({"bootstrap.servers": address, "linger.ms": 5,
                         "queue.buffering.max.kbytes": 65536})
    first = size_of()  # no two calls make the same keys
    for number in itertools.count():
        if size_of() >= size:
            return
        mark = b"%08x%08x" % (first & 0xffffffff, number)
        for partition, key, value, headers in rows:
            while True:
                try:
                    producer.produce(topic, value, mark + key[len(mark):], partition, headers=headers)
                    break
                except BufferError:
                    producer.poll(0.1)
        producer.flush()
