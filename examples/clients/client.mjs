// Puts OpenAI batch lines on a queue, prints their results: node client.mjs TEAM FEATURE JOBS.jsonl
import { readFileSync } from "node:fs";
import { Kafka } from "kafkajs";

const [team, feature, jobs] = process.argv.slice(2);
const lines = readFileSync(jobs, "utf8").split("\n").filter(Boolean);
const waiting = new Set(lines.map((line) => JSON.parse(line).custom_id));
const kafka = new Kafka({ brokers: process.env.OFFPEAK_BROKERS.split(","), logLevel: 1 }); // and ssl, sasl
const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
await producer.connect();
while (lines.length) {
  const messages = lines.splice(0, 100).map((value) => ({ value }));
  await producer.send({ topic: `offpeak.jobs.${team}.${feature}`, messages });
}
await producer.disconnect();
const consumer = kafka.consumer({ groupId: `offpeak.${team}.node` });
await consumer.connect();
await consumer.subscribe({ topic: `offpeak.results.${team}`, fromBeginning: true });
const eachMessage = async ({ message }) => {
  const { custom_id } = JSON.parse(message.value);
  if (waiting.delete(custom_id)) console.log(message.value.toString());
  if (!waiting.size) setImmediate(() => consumer.disconnect());
};
await consumer.run({ eachMessage });
