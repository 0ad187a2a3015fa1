#!/usr/bin/env python3
"""Drives a simulator with OpenAI's Python SDK, replies checked strictly against its types.

    OPENAI_BASE_URL=http://127.0.0.1:PORT/v1 OPENAI_API_KEY=sk-any python test_openai_sdk.py

Prints what was checked; exit 1 at the first thing that is not as the SDK expects. The server
should run fast (--speed 600).
"""
import hashlib
import json
import os
import sys
import time
import urllib.request

import openai

KEY = os.environ.get("OPENAI_API_KEY", "sk-sdk-test")
ENDPOINT = "/v1/chat/completions"


def client(key=KEY):
    return openai.OpenAI(api_key=key, max_retries=0, _strict_response_validation=True)


def digest(messages):
    text = json.dumps(messages, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def request(i, **body):
    messages = [{"role": "system", "content": "Wörter ☃"}, {"role": "user", "content": f"q {i}"}]
    body = {"model": "gpt-4o-mini", "messages": messages, "max_tokens": 60, **body}
    return {"custom_id": f"id-{i}", "method": "POST", "url": ENDPOINT, "body": body}


def check(what, good):
    print(("ok   " if good else "FAIL ") + what, flush=True)
    if not good:
        sys.exit(1)


def raises(kind, act):
    try:
        act()
    except kind as e:
        return e
    return None


def upload(c, requests, name="sdk.jsonl"):
    data = "".join(json.dumps(r) + "\n" for r in requests).encode()
    return c.files.create(file=(name, data), purpose="batch"), data


def tell(what):
    url = os.environ["OPENAI_BASE_URL"].removesuffix("/v1") + "/sim/" + what
    urllib.request.urlopen(url, b"").close()


def finish(c, batch):
    end = time.monotonic() + 300
    while batch.status not in ("completed", "failed", "expired", "cancelled"):
        if time.monotonic() > end:
            check(f"batch ends in time, it is {batch.status}", False)
        time.sleep(0.02)
        batch = c.batches.retrieve(batch.id)
    return batch


def create(c, file_id, **more):
    return c.batches.create(input_file_id=file_id, endpoint=ENDPOINT, completion_window="24h", **more)


def files(c):
    file, data = upload(c, [request(i) for i in range(20)])
    check("upload", file.purpose == "batch" and file.bytes == len(data))
    check("retrieve", c.files.retrieve(file.id) == file)
    check("content comes back", c.files.content(file.id).content == data)
    check("list", file.id in [f.id for f in c.files.list(purpose="batch", limit=2)])
    other, _ = upload(c, [request(1)])
    check("delete", c.files.delete(other.id).deleted)
    check("deleted is 404", raises(openai.NotFoundError, lambda: c.files.retrieve(other.id)))
    timed = c.files.create(file=("t.jsonl", b"{}\n"), purpose="batch",
                           expires_after={"anchor": "created_at", "seconds": 3600})
    check("expires_after", timed.expires_at == timed.created_at + 3600)
    return file


def batches(c, file):
    made = create(c, file.id, metadata={"offpeak_submit_key": "K1"})
    check("create", made.status == "validating" and made.metadata == {"offpeak_submit_key": "K1"})
    done = finish(c, made)
    check("completes", done.status == "completed" and done.request_counts.completed == 20)
    check("no error file", done.error_file_id is None)
    check("usage", done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens > 0)
    answers = [json.loads(x) for x in c.files.content(done.output_file_id).text.splitlines()]
    check("every custom_id once", {a["custom_id"] for a in answers} == {f"id-{i}" for i in range(20)})
    kind = openai.types.chat.ChatCompletion
    for a in answers:
        reply = kind.model_validate(a["response"]["body"], strict=True)
        asked = request(int(a["custom_id"][3:]))["body"]["messages"]
        if digest(asked) not in reply.choices[0].message.content:
            check(f"digest of {a['custom_id']}", False)
    check("each answer is a completion with its own digest", True)
    listed = [b.id for b in c.batches.list(limit=1)]
    check("list, page by page", done.id in listed)


def outcomes(c):
    bad, _ = upload(c, [request(1), request(2, temperature=9)])
    done = finish(c, create(c, bad.id))
    error = json.loads(c.files.content(done.error_file_id).text)
    check("error file", error["custom_id"] == "id-2" and error["response"]["status_code"] == 400)
    broken = c.files.create(file=("b.jsonl", b"nonsense\n"), purpose="batch")
    failed = finish(c, create(c, broken.id))
    check("a bad file fails", failed.errors.data[0].code == "invalid_json_line")
    many, _ = upload(c, [request(i) for i in range(2000)])
    tell("hold")  # or it could be over first
    started = create(c, many.id)
    check("cancel", c.batches.cancel(started.id).status == "cancelling")
    check("cancelled", finish(c, started).status == "cancelled")
    tell("go")


def errors(c, file):
    check("wrong key is 401", raises(openai.AuthenticationError,
                                     lambda: client("sk-wrong-key").batches.list()))
    check("another project is 404", raises(openai.NotFoundError,
                                           lambda: client("sk-other-1").files.retrieve(file.id)))
    check("unknown batch is 404", raises(openai.NotFoundError, lambda: c.batches.retrieve("batch_x")))
    window = raises(openai.BadRequestError, lambda: c.batches.create(
        input_file_id=file.id, endpoint=ENDPOINT, completion_window="48h"))
    check("window of 48h is 400", window and window.param == "completion_window")
    model = raises(openai.NotFoundError, lambda: c.chat.completions.create(
        model="gpt-none", messages=[{"role": "user", "content": "x"}]))
    check("unknown model is 404", model and model.code == "model_not_found")


def chat(c):
    messages = [{"role": "user", "content": "hello"}]
    reply = c.chat.completions.create(model="gpt-5-mini", messages=messages, max_completion_tokens=200)
    check("chat", digest(messages) in reply.choices[0].message.content)
    check("reasoning tokens", reply.usage.completion_tokens_details.reasoning_tokens > 0)
    check("models", "gpt-4o-mini" in [m.id for m in c.models.list()])


def prompt_digest(body):
    return digest([body.get("instructions"), body["input"]])


def vector(asked, n):
    raw = hashlib.sha256(json.dumps(asked, separators=(",", ":"), ensure_ascii=False).encode()).digest()
    return [raw[i % 32] / 128 - 1 for i in range(n)]


def responses(c):
    body = {"model": "gpt-5-mini", "input": "hello", "instructions": "Wörter ☃"}
    reply = c.responses.create(**body, max_output_tokens=200, store=False)
    check("response", reply.status == "completed" and prompt_digest(body) in reply.output_text)
    details = reply.usage.output_tokens_details
    check("its tokens", 0 < details.reasoning_tokens <= reply.usage.output_tokens <= 200)
    items = [{"role": "user", "content": [{"type": "input_text", "text": "part"}]}]
    reply = c.responses.create(model="gpt-4o-mini", input=items)
    check("items", prompt_digest({"input": items}) in reply.output_text)
    state = raises(openai.NotFoundError, lambda: c.responses.create(
        model="gpt-4o-mini", input="x", previous_response_id="resp_1"))
    check("a conversation kept at the server is 404", state)


def embeddings(c):
    texts = ["Wörter ☃", "b"]
    # asked for nothing, the SDK asks for base64, which its own strict types do not know
    lenient = openai.OpenAI(api_key=KEY, max_retries=0)
    reply = lenient.embeddings.create(model="text-embedding-3-small", input=texts)
    check("embeddings", [x.embedding for x in reply.data] == [vector(t, 1536) for t in texts])
    check("their tokens", reply.usage.prompt_tokens == reply.usage.total_tokens > 0)
    few = c.embeddings.create(model="text-embedding-3-large", input=[1, 2], dimensions=8,
                              encoding_format="float")
    check("of token ids, in floats", few.data[0].embedding == vector([1, 2], 8))
    old = raises(openai.BadRequestError, lambda: c.embeddings.create(
        model="text-embedding-ada-002", input="x", dimensions=8))
    check("the older model has one size", old and old.param == "dimensions")


def other_batches(c):
    kinds = {
        "/v1/responses": ({"model": "gpt-4o-mini", "instructions": "S"}, openai.types.responses.Response,
                          lambda body, reply: prompt_digest(body) in reply.output_text),
        "/v1/embeddings": ({"model": "text-embedding-3-small", "dimensions": 32},
                           openai.types.CreateEmbeddingResponse,
                           lambda body, reply: reply.data[0].embedding == vector(body["input"], 32)),
    }
    for endpoint, (shared, kind, is_own) in kinds.items():
        bodies = {f"id-{i}": {**shared, "input": f"q {i}"} for i in range(20)}
        file, _ = upload(c, [{"custom_id": i, "method": "POST", "url": endpoint, "body": b}
                             for i, b in bodies.items()])
        done = finish(c, c.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h"))
        check(f"batch of {endpoint}", done.status == "completed" and done.request_counts.completed == 20)
        answers = [json.loads(x) for x in c.files.content(done.output_file_id).text.splitlines()]
        own = sum(is_own(bodies[a["custom_id"]], kind.model_validate(a["response"]["body"])) for a in answers)
        check("each answer is its own", own == len({a["custom_id"] for a in answers}) == 20)


def main():
    c = client()
    print(f"openai {openai.__version__} at {c.base_url}")
    file = files(c)
    batches(c, file)
    outcomes(c)
    errors(c, file)
    chat(c)
    responses(c)
    embeddings(c)
    other_batches(c)


if __name__ == "__main__":
    main()
