"""A made-up night of work, and what of it is the same question.

The canonicaliser here is written from the rules in docs (levels L0 and L1), not from our
code: it shares nothing with core/prompt.c and says on its own how many calls a file needs.
"""
import decimal
import hashlib
import json
import random
import unicodedata

MODELS = ("gpt-4o-mini", "gpt-4.1-mini")
# Request fields that cannot change an answer (level L1).
DROPPED = {"metadata", "user", "safety_identifier", "stream", "store", "prompt_cache_key",
           "prompt_cache_options", "prompt_cache_retention"}
SCHEMA = {"type": "object", "required": ["colour", "age"], "additionalProperties": False,
          "properties": {"colour": {"type": "string"}, "age": {"type": "integer"}}}


# ---- the same question? ----


def canonical(body):
    """A value that is equal for two request bodies exactly when they ask the same."""
    top = {k: v for k, v in _parse(body).items() if k not in DROPPED}
    return json.dumps(_plain(top, ()), ensure_ascii=False)


def _parse(text):
    return json.loads(text, parse_int=decimal.Decimal, parse_float=decimal.Decimal)


def _is_schema(path):
    return path[-3:] == ("response_format", "json_schema", "schema") or (
        path[:1] == ("tools",) and path[-2:] == ("function", "parameters"))


def _plain(value, path, in_order=False):
    in_order = in_order or _is_schema(path)
    if isinstance(value, dict):
        keys = [k for k in value if k != "prompt_cache_breakpoint"]
        keys = keys if in_order else sorted(keys, key=lambda k: k.encode("utf-8"))
        return [[k, _plain(value[k], path + (k,), in_order)] for k in keys] + [{}]
    if isinstance(value, list):
        return [_plain(v, path, in_order) for v in value]
    if isinstance(value, decimal.Decimal):
        sign, digits, exponent = value.as_tuple()
        digits = "".join(map(str, digits)).lstrip("0")
        stripped = digits.rstrip("0")
        exponent += len(digits) - len(stripped)
        return {"number": f"{'-' if sign and stripped else ''}{stripped}e{exponent}"
                if stripped else "0"}
    if isinstance(value, str):
        text = value.replace("\r\n", "\n").replace("\r", "\n")
        return unicodedata.normalize("NFC", text.removeprefix("\ufeff"))
    return value


def digest(body):
    """What the simulator writes into the answer to this question."""
    messages = json.loads(body)["messages"]
    text = json.dumps(messages, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


# ---- one question, spelled in many ways ----


class Raw(str):
    """JSON text that is written as it is: a number in a chosen spelling."""


def spell(value, spaces="", backwards=False, ascii_only=False):
    """JSON text of a value; the same value has many."""
    again = lambda v: spell(v, spaces, backwards, ascii_only)  # noqa: E731
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        items = list(value.items())
        if backwards and value is not SCHEMA and "additionalProperties" not in value:
            items.reverse()
        return "{" + spaces + ("," + spaces).join(
            json.dumps(k) + spaces + ":" + spaces + again(v) for k, v in items) + "}"
    if isinstance(value, list):
        return "[" + ("," + spaces).join(again(v) for v in value) + spaces + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


def _with_text(body, change):
    messages = [dict(m, content=change(m["content"])) for m in body["messages"]]
    return dict(body, messages=messages)


# Equal in meaning (level L1): each is another spelling of the same body.
SPELLINGS = {
    "as it is": spell,
    "keys in another order": lambda b: spell(b, backwards=True),
    "spaces between": lambda b: spell(b, spaces=" "),
    "escapes": lambda b: spell(b, ascii_only=True),
    "number 0.70": lambda b: spell(dict(b, temperature=Raw("0.70"))),
    "number 7e-1": lambda b: spell(dict(b, temperature=Raw("7e-1"))),
    "number 700.0E-3": lambda b: spell(dict(b, temperature=Raw("700.0E-3"))),
    "CR LF": lambda b: spell(_with_text(b, lambda t: t.replace("\n", "\r\n"))),
    "CR": lambda b: spell(_with_text(b, lambda t: t.replace("\n", "\r"))),
    "NFD": lambda b: spell(_with_text(b, lambda t: unicodedata.normalize("NFD", t))),
    "byte-order mark": lambda b: spell(_with_text(b, lambda t: "\ufeff" + t)),
    "user and metadata": lambda b: spell(dict(b, user="u-7", metadata={"night": "1"})),
    "store and stream": lambda b: spell(dict(b, store=False, stream=False)),
    "prompt_cache_key": lambda b: spell(dict(b, prompt_cache_key="shelf-7")),
}

# Nearly equal, and another question: none of these may be merged.
OTHERS = {
    "another case": lambda b: spell(_with_text(b, str.upper)),
    "a space more": lambda b: spell(_with_text(b, lambda t: t + " ")),
    "compatible form (NFKC)": lambda b: spell(_with_text(b, lambda t: t + " \ufb01n")),
    "decomposed otherwise": lambda b: spell(_with_text(b, lambda t: t + " fin")),
    "another model": lambda b: spell(dict(b, model="gpt-4.1-nano")),
    "another limit": lambda b: spell(dict(b, max_completion_tokens=129)),
    "another temperature": lambda b: spell(dict(b, temperature=Raw("0.7000001"))),
    "seed 2^53": lambda b: spell(dict(b, seed=Raw("9007199254740992"))),
    "seed 2^53 + 1": lambda b: spell(dict(b, seed=Raw("9007199254740993"))),
    "messages the other way": lambda b: spell(dict(b, messages=b["messages"][::-1])),
    "a schema": lambda b: spell(_with_schema(b, SCHEMA)),
    "the schema's keys in another order": lambda b: spell(_with_schema(b, _turned(SCHEMA))),
}


def _with_schema(body, schema):
    return dict(body, response_format={
        "type": "json_schema", "json_schema": {"name": "shelf", "strict": True, "schema": schema}})


def _turned(schema):
    return dict(schema, properties=dict(reversed(schema["properties"].items())))


# ---- a night ----


def line(custom_id, body):
    return (f'{{"custom_id":{json.dumps(custom_id)},"method":"POST",'
            f'"url":"/v1/chat/completions","body":{body}}}')


def guide(rng, number):
    """A prompt prefix long enough for a provider's prompt cache (1,024 tokens)."""
    words = "shelf lamp oak tide amber road quiet stone linen harbour café naïve Zürich".split()
    rules = [f"Rule {n}: " + " ".join(rng.choice(words) for _ in range(12)) + "."
             for n in range(70)]
    return f"You describe goods of department {number}.\n" + "\n".join(rules)


def question(rng, guides, number):
    return {
        "model": rng.choice(MODELS), "temperature": Raw("0.7"), "max_completion_tokens": 128,
        "messages": [
            {"role": "system", "content": rng.choice(guides)},
            {"role": "user", "content": f"Item {number}\ncolour: café au lait, Ångström blue\n"
                                        f"price: {rng.randrange(100, 99999)} öre"}],
    }


def night(lines, seed=1, repeats=0.3, spelled=True):
    """Job lines: fresh questions, byte-identical repeats, other spellings, near misses."""
    rng = random.Random(seed)
    guides = [guide(rng, n) for n in range(6)]
    bodies, fresh = [], []
    if spelled:
        for n in range(4):
            body = question(rng, guides, f"spelled-{n}")
            bodies += [way(body) for way in SPELLINGS.values()]
            bodies += [way(body) for way in OTHERS.values()]
    while len(bodies) < lines:
        if fresh and rng.random() < repeats:
            bodies.append(rng.choice(fresh))
        else:
            fresh.append(spell(question(rng, guides, len(bodies))))
            bodies.append(fresh[-1])
    rng.shuffle(bodies)
    return [line(f"row-{n:06d}", body) for n, body in enumerate(bodies)]
