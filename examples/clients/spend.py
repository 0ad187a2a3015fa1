"""Prints the spend records that have come since it was last run, each once: spend.py >>SPEND.jsonl"""
import os
from confluent_kafka import Consumer, KafkaError, KafkaException

consumer = Consumer({
    "bootstrap.servers": os.environ["OFFPEAK_BROKERS"],  # and security.protocol, sasl.*, ssl.*
    "group.id": "offpeak.bi.spend", "auto.offset.reset": "earliest", "enable.auto.commit": False,
    "isolation.level": "read_committed", "enable.partition.eof": True})
consumer.subscribe(["offpeak.spend"])  # it has one partition
last, message = None, consumer.poll(30)
while message and not message.error():
    print(message.value().decode())
    last, message = message, consumer.poll(30)
if message is None:
    raise SystemExit("could not read 'offpeak.spend': no answer for 30 s")
if message.error().code() != KafkaError._PARTITION_EOF:
    raise KafkaException(message.error())
if last:
    consumer.commit(last, asynchronous=False)
consumer.close()
