"""Puts OpenAI batch lines on a queue, prints their results: client.py TEAM FEATURE JOBS.jsonl"""
import json, os, sys
from confluent_kafka import Consumer, KafkaException, Producer

def check(error, _message=None):
    if error:
        raise KafkaException(error)
team, feature, jobs = sys.argv[1:]
broker = {"bootstrap.servers": os.environ["OFFPEAK_BROKERS"]}  # and security.protocol, sasl.*, ssl.*
producer, waiting = Producer({**broker, "enable.idempotence": True, "max.in.flight": 1}), set()
for line in open(jobs, "rb"):
    waiting.add(json.loads(line)["custom_id"])
    producer.produce(f"offpeak.jobs.{team}.{feature}", line, on_delivery=check)
    producer.flush() if len(producer) > 1000 else producer.poll(0)
producer.flush()
consumer = Consumer({**broker, "group.id": f"offpeak.{team}.python", "auto.offset.reset": "earliest"})
consumer.subscribe([f"offpeak.results.{team}"])
while waiting:
    for message in consumer.consume(100, timeout=1):
        check(message.error())
        if (custom_id := json.loads(message.value())["custom_id"]) in waiting:
            waiting.remove(custom_id)
            print(message.value().decode())
consumer.close()
