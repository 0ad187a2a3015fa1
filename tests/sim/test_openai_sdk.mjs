// Drives a simulator with OpenAI's SDK for Node.
//
//   OPENAI_BASE_URL=http://127.0.0.1:PORT/v1 OPENAI_API_KEY=sk-any node test_openai_sdk.mjs
//
// Prints what was checked; exit 1 at the first thing that is not as the SDK expects. The server
// should run fast (--speed 600).
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI, { toFile } from "openai";

const KEY = process.env.OPENAI_API_KEY ?? "sk-sdk-test";
const ENDPOINT = "/v1/chat/completions";
const FINAL = new Set(["completed", "failed", "expired", "cancelled"]);

const connect = (apiKey = KEY) => new OpenAI({ apiKey, maxRetries: 0 });

function check(what, good) {
  console.log((good ? "ok   " : "FAIL ") + what);
  if (!good) process.exit(1);
}

async function refused(kind, promise) {
  try {
    await promise;
  } catch (error) {
    return error instanceof kind ? error : undefined;
  }
}

// Canonical JSON for strings, arrays and objects: sorted keys, no spaces.
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const members = Object.keys(value).sort().map((k) => `${JSON.stringify(k)}:${canonical(value[k])}`);
  return `{${members.join(",")}}`;
}

const digest = (messages) => createHash("sha256").update(canonical(messages)).digest("hex");

function request(i, more = {}) {
  const messages = [{ role: "system", content: "Wörter ☃" }, { role: "user", content: `q ${i}` }];
  const body = { model: "gpt-4o-mini", messages, max_tokens: 60, ...more };
  return { custom_id: `id-${i}`, method: "POST", url: ENDPOINT, body };
}

const jsonl = (requests) => requests.map((r) => JSON.stringify(r) + "\n").join("");
const range = (n) => [...Array(n).keys()];

async function upload(client, text, name = "sdk.jsonl") {
  return client.files.create({ file: await toFile(Buffer.from(text), name), purpose: "batch" });
}

const create = (client, input_file_id, more = {}) =>
  client.batches.create({ input_file_id, endpoint: ENDPOINT, completion_window: "24h", ...more });

const tell = (what) =>
  fetch(process.env.OPENAI_BASE_URL.replace(/\/v1$/, "/sim/" + what), { method: "POST" });

async function finish(client, batch) {
  const end = Date.now() + 300000;
  while (!FINAL.has(batch.status)) {
    if (Date.now() > end) check(`batch ends in time, it is ${batch.status}`, false);
    await sleep(20);
    batch = await client.batches.retrieve(batch.id);
  }
  return batch;
}

async function files(client) {
  const text = jsonl(range(20).map((i) => request(i)));
  const file = await upload(client, text);
  check("upload", file.purpose === "batch" && file.bytes === Buffer.byteLength(text));
  check("retrieve", (await client.files.retrieve(file.id)).id === file.id);
  check("content comes back", (await (await client.files.content(file.id)).text()) === text);
  const listed = [];
  for await (const f of client.files.list({ purpose: "batch", limit: 2 })) listed.push(f.id);
  check("list", listed.includes(file.id));
  const other = await upload(client, jsonl([request(1)]));
  check("delete", (await client.files.delete(other.id)).deleted);
  check("deleted is 404", await refused(OpenAI.NotFoundError, client.files.retrieve(other.id)));
  return file;
}

async function batches(client, file) {
  const made = await create(client, file.id, { metadata: { offpeak_submit_key: "K1" } });
  check("create", made.status === "validating" && made.metadata.offpeak_submit_key === "K1");
  const done = await finish(client, made);
  check("completes", done.status === "completed" && done.request_counts.completed === 20);
  check("no error file", done.error_file_id === null);
  const text = await (await client.files.content(done.output_file_id)).text();
  const answers = text.trimEnd().split("\n").map((x) => JSON.parse(x));
  check("every custom_id once", new Set(answers.map((a) => a.custom_id)).size === 20);
  const own = answers.every((a) =>
    a.response.body.choices[0].message.content.includes(
      digest(request(Number(a.custom_id.slice(3))).body.messages)));
  check("each answer has its own digest", own);
  const ids = [];
  for await (const b of client.batches.list({ limit: 1 })) ids.push(b.id);
  check("list, page by page", ids.includes(done.id));
}

async function outcomes(client) {
  const bad = await upload(client, jsonl([request(1), request(2, { temperature: 9 })]));
  const done = await finish(client, await create(client, bad.id));
  const error = JSON.parse(await (await client.files.content(done.error_file_id)).text());
  check("error file", error.custom_id === "id-2" && error.response.status_code === 400);
  const failed = await finish(client, await create(client, (await upload(client, "nonsense\n")).id));
  check("a bad file fails", failed.errors.data[0].code === "invalid_json_line");
  const many = await upload(client, jsonl(range(2000).map((i) => request(i))));
  await tell("hold"); // or it could be over first
  const started = await create(client, many.id);
  check("cancel", (await client.batches.cancel(started.id)).status === "cancelling");
  check("cancelled", (await finish(client, started)).status === "cancelled");
  await tell("go");
}

async function errors(client, file) {
  check("wrong key is 401",
    await refused(OpenAI.AuthenticationError, connect("sk-wrong-key").batches.list()));
  check("another project is 404",
    await refused(OpenAI.NotFoundError, connect("sk-other-1").files.retrieve(file.id)));
  check("unknown batch is 404",
    await refused(OpenAI.NotFoundError, client.batches.retrieve("batch_x")));
  const window = await refused(OpenAI.BadRequestError,
    create(client, file.id, { completion_window: "48h" }));
  check("window of 48h is 400", window?.param === "completion_window");
}

async function chat(client) {
  const messages = [{ role: "user", content: "hello" }];
  const reply = await client.chat.completions.create({ model: "gpt-5-mini", messages });
  check("chat", reply.choices[0].message.content.includes(digest(messages)));
  check("reasoning tokens", reply.usage.completion_tokens_details.reasoning_tokens > 0);
  const unknown = await refused(OpenAI.NotFoundError,
    client.chat.completions.create({ model: "gpt-none", messages }));
  check("unknown model is 404", unknown?.code === "model_not_found");
}

const promptDigest = (body) => digest([body.instructions ?? null, body.input]);

function vector(asked, n) {
  const raw = createHash("sha256").update(canonical(asked)).digest();
  return range(n).map((i) => raw[i % 32] / 128 - 1);
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

async function responses(client) {
  const body = { model: "gpt-5-mini", input: "hello", instructions: "Wörter ☃" };
  const reply = await client.responses.create(body);
  check("response", reply.status === "completed" && reply.output_text.includes(promptDigest(body)));
  check("its tokens", reply.usage.output_tokens_details.reasoning_tokens > 0);
  const state = await refused(OpenAI.NotFoundError, client.responses.create(
    { model: "gpt-4o-mini", input: "x", previous_response_id: "resp_1" }));
  check("a conversation kept at the server is 404", state);
}

async function embeddings(client) {
  const input = ["Wörter ☃", "b"];
  const reply = await client.embeddings.create({ model: "text-embedding-3-small", input });
  check("embeddings", same(reply.data.map((x) => x.embedding), input.map((t) => vector(t, 1536))));
  const few = await client.embeddings.create(
    { model: "text-embedding-3-large", input: [1, 2], dimensions: 8, encoding_format: "float" });
  check("of token ids, in floats", same(few.data[0].embedding, vector([1, 2], 8)));
}

async function otherBatches(client) {
  const kinds = [
    ["/v1/responses", { model: "gpt-4o-mini", instructions: "S" },
      (body, reply) => reply.output[0].content[0].text.includes(promptDigest(body))],
    ["/v1/embeddings", { model: "text-embedding-3-small", dimensions: 32 },
      (body, reply) => same(reply.data[0].embedding, vector(body.input, 32))],
  ];
  for (const [endpoint, shared, isOwn] of kinds) {
    const bodies = new Map(range(20).map((i) => [`id-${i}`, { ...shared, input: `q ${i}` }]));
    const lines = [...bodies].map(([custom_id, body]) => ({ custom_id, method: "POST", url: endpoint, body }));
    const uploaded = await upload(client, jsonl(lines));
    const done = await finish(client, await create(client, uploaded.id, { endpoint }));
    check(`batch of ${endpoint}`, done.status === "completed" && done.request_counts.completed === 20);
    const text = await (await client.files.content(done.output_file_id)).text();
    const answers = text.trimEnd().split("\n").map((x) => JSON.parse(x));
    check("each answer is its own", new Set(answers.map((a) => a.custom_id)).size === 20 &&
      answers.every((a) => isOwn(bodies.get(a.custom_id), a.response.body)));
  }
}

const client = connect();
console.log(`openai for Node at ${client.baseURL}`);
const file = await files(client);
await batches(client, file);
await outcomes(client);
await errors(client, file);
await chat(client);
await responses(client);
await embeddings(client);
await otherBatches(client);
