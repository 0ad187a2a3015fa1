"""Lines that nobody should have written, one between two good neighbours.

A row is: name, the bytes of the line, how its job ends, and its custom_id in the results:
null where the line is no JSON, for then nothing in it can be believed.
"""
import json

import lib

REJECTED, FAILED, OK = "rejected", "failed", "ok"
FRAME = ('{"custom_id":"bad","method":"POST","url":"/v1/chat/completions",'
         '"body":{"model":"gpt-4o-mini","max_completion_tokens":128,"messages":'
         '[{"role":"user","content":"TEXT"}]MORE}}')


def framed(text="a plain question", more=""):
    """A whole line around that JSON string content, with more fields in its body."""
    return FRAME.replace("TEXT", text).replace("MORE", more).encode("utf-8")


def part(**changes):
    """A good job with some of its parts replaced, or left out where None is given."""
    job = lib.job("bad", "a plain question")
    job.update({k: v for k, v in changes.items() if v is not None})
    job = {k: v for k, v in job.items() if changes.get(k, v) is not None}
    return json.dumps(job).encode("utf-8")


def body(**changes):
    whole = {**lib.job("bad", "a plain question")["body"], **changes}
    return part(body={k: v for k, v in whole.items() if v is not None})


GOOD = framed()

JSON = (
    ("a brace is missing", GOOD[:-1], REJECTED, None),
    ("cut in the middle", GOOD[:90], REJECTED, None),
    ("a comma too many", GOOD[:-2] + b",}}", REJECTED, None),
    ("single quotes", GOOD.replace(b'"', b"'"), REJECTED, None),
    ("two objects on one line", GOOD + GOOD, REJECTED, None),
    ("an array", b"[" + GOOD + b"]", REJECTED, None),
    ("a bare word", b"hello", REJECTED, None),
    ("a comment", b"// " + GOOD, REJECTED, None),
    ("a key twice", GOOD[:-1] + b',"custom_id":"other"}', REJECTED, None),
    ("Python's True", framed(more=',"store":True'), REJECTED, None),
)

BYTES = (
    ("invalid UTF-8", framed("caf\xe9").replace("caf\xe9".encode(), b"caf\xe9"), REJECTED, None),
    ("an overlong slash", framed("ab").replace(b"ab", b"a\xc0\xafb"), REJECTED, None),
    ("a surrogate as UTF-8", framed("ab").replace(b"ab", b"\xed\xa0\x80"), REJECTED, None),
    ("a NUL byte", framed("ab").replace(b"ab", b"a\0b"), REJECTED, None),
    ("an escaped NUL", framed("a\\u0000b"), OK, "bad"),
    ("half of a surrogate pair", framed("a\\ud83d b"), REJECTED, None),
    ("a byte-order mark in the middle", b"\xef\xbb\xbf" + GOOD, REJECTED, None),
    ("a raw tab in a string", framed("a\tb"), REJECTED, None),
    ("300,000 bytes, more than is allowed", framed("x" * 300000), REJECTED, None),
    ("nested 100,000 deep", framed(more=',"metadata":' + "[" * 100000 + "]" * 100000),
     REJECTED, None),
    ("nested 65 deep", framed(more=',"metadata":' + "[" * 65 + "]" * 65), REJECTED, None),
    ("UTF-16", GOOD.decode().encode("utf-16"), REJECTED, None),
)

NUMBERS = (
    ("2^53 + 1", framed(more=',"seed":9007199254740993'), OK, "bad"),
    ("an integer of 30 digits", framed(more=',"seed":' + "9" * 30), (OK, REJECTED, FAILED), "bad"),
    ("1e400", framed(more=',"temperature":1e400'), (REJECTED, FAILED), "bad"),
    ("1e-400", framed(more=',"temperature":1e-400'), (OK, REJECTED, FAILED), "bad"),
    ("a negative limit", body(max_completion_tokens=-5), REJECTED, "bad"),
    ("a limit of 0", body(max_completion_tokens=0), FAILED, "bad"),
    ("a limit of 1.5", body(max_completion_tokens=1.5), REJECTED, "bad"),
    ("a limit in quotes", body(max_completion_tokens="128"), REJECTED, "bad"),
    ("a limit past 2^64", framed(more=',"max_tokens":99999999999999999999'), REJECTED, "bad"),
    ("a temperature of 3", body(temperature=3), REJECTED, "bad"),
    ("n of 0", body(n=0), REJECTED, "bad"),
    ("NaN", framed(more=',"temperature":NaN'), REJECTED, None),
    ("a leading zero", framed(more=',"seed":007'), REJECTED, None),
    ("a plus sign", framed(more=',"seed":+7'), REJECTED, None),
)

IDS = (
    ("no custom_id", part(custom_id=None), REJECTED, None),
    ("a number", part(custom_id=7), REJECTED, None),
    ("null", GOOD.replace(b'"bad"', b"null"), REJECTED, None),
    ("empty", part(custom_id=""), REJECTED, ""),
    ("an object", part(custom_id={"id": 1}), REJECTED, None),
    ("the neighbour's", part(custom_id="before"), REJECTED, "before"),
    ("the neighbour's, escaped", GOOD.replace(b'"bad"', b'"\\u0062efore"'), REJECTED, "before"),
    ("600 bytes", part(custom_id="x" * 600), REJECTED, None),
    ("a line feed in it", part(custom_id="bad\nid"), OK, "bad\nid"),
    ("not ASCII", part(custom_id="größe-🙂"), OK, "größe-🙂"),
    ("a quote and a backslash", part(custom_id='b"a\\d'), OK, 'b"a\\d'),
)

REQUESTS = (
    ("no body", part(body=None), REJECTED, "bad"),
    ("a body in quotes", part(body="{}"), REJECTED, "bad"),
    ("no model", body(model=None), REJECTED, "bad"),
    ("a model without a price", body(model="gpt-99-unheard-of"), REJECTED, "bad"),
    ("no messages", body(messages=None), REJECTED, "bad"),
    ("an empty list of messages", body(messages=[]), REJECTED, "bad"),
    ("a message that is text", body(messages=["hello"]), (REJECTED, FAILED), "bad"),
    ("an unknown role", body(messages=[{"role": "boss", "content": "Hi"}]),
     (REJECTED, FAILED), "bad"),
    ("a stream", body(stream=True), REJECTED, "bad"),
    ("another url", part(url="/v1/images/generations"), REJECTED, "bad"),
    ("no url", part(url=None), REJECTED, "bad"),
    ("GET", part(method="GET"), REJECTED, "bad"),
    ("another tier", body(service_tier="flex"), REJECTED, "bad"),
)

KINDS = {"json": JSON, "bytes": BYTES, "numbers": NUMBERS, "ids": IDS, "requests": REQUESTS}
