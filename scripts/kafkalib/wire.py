"""The few requests that scripts/kafka sends to its broker by itself: is it there, make a topic,
and the access rules of every kind, those for transactional ids included, which librdkafka 2.0.2
cannot name. One connection, one request at a time, no retries: the broker is on this machine.

The forms are those of the Kafka protocol guide, in versions older than its compact encoding,
which brokers of every 4.x release take.
"""
import socket
import struct

METADATA, CREATE_TOPICS, DESCRIBE_ACLS, CREATE_ACLS, DELETE_ACLS = 3, 19, 29, 30, 31
RESPONSE_BYTES_MAX = 16 << 20

ANY = 1
KINDS = {"topic": 2, "group": 3, "cluster": 4, "transactional-id": 5}
LITERAL, PREFIXED = 3, 4
OPERATIONS = {"any": ANY, "all": 2, "read": 3, "write": 4, "create": 5, "delete": 6, "alter": 7,
              "describe": 8, "cluster-action": 9, "describe-configs": 10, "alter-configs": 11,
              "idempotent-write": 12}
PERMISSIONS = {"any": ANY, "deny": 2, "allow": 3}


class Refused(Exception):
    """The broker answered, and the answer is an error."""


def text(value):
    if value is None:
        return struct.pack(">h", -1)
    raw = value.encode()
    return struct.pack(">h", len(raw)) + raw


def array(items):
    return struct.pack(">i", len(items)) + b"".join(items)


class Reply:
    """Reads a response from its beginning to its end."""

    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def number(self, form):
        (value,) = struct.unpack_from(">" + form, self.raw, self.at)
        self.at += struct.calcsize(">" + form)
        return value

    def text(self):
        length = self.number("h")
        if length < 0:
            return None
        self.at += length
        return self.raw[self.at - length : self.at].decode()

    def check(self):
        """An error code and its message, which is empty in most versions of most errors."""
        code, message = self.number("h"), self.text()
        if code:
            raise Refused(f"{message or 'no reason given'} (error {code})")


class Connection:
    def __init__(self, address, tls=None, timeout_s=5):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout_s)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname=host)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def read(self, size):
        parts = []
        while size:
            part = self.socket.recv(min(size, 65536))
            if not part:
                raise ConnectionError("the broker closed the connection")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def ask(self, request, version, body):
        head = struct.pack(">hhi", request, version, 1) + text("offpeak-scripts")
        self.socket.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
        (size,) = struct.unpack(">i", self.read(4))
        if not 4 <= size <= RESPONSE_BYTES_MAX:
            raise ConnectionError(f"a response of {size} bytes")
        reply = Reply(self.read(size))
        reply.number("i")  # the number of the request: there is only one
        return reply

    def brokers(self):
        """The addresses of the brokers of the cluster; none while it is still starting."""
        reply = self.ask(METADATA, 4, array([]) + b"\0")
        reply.number("i")  # throttle time
        found = []
        for _ in range(reply.number("i")):
            reply.number("i")  # node id
            found.append(f"{reply.text()}:{reply.number('i')}")
            reply.text()  # rack
        return found

    def create_topic(self, name, partitions, configs):
        rows = [text(key) + text(value) for key, value in configs]
        topic = text(name) + struct.pack(">ih", partitions, 1) + array([]) + array(rows)
        reply = self.ask(CREATE_TOPICS, 4, array([topic]) + struct.pack(">ib", 30000, 0))
        reply.number("i")  # throttle time
        for _ in range(reply.number("i")):
            reply.text()
            reply.check()

    def add_acls(self, acls):
        """Each is (kind, pattern, name, principal, operation, permission), as list_acls has it."""
        rows = [struct.pack(">b", kind) + text(name) + struct.pack(">b", pattern) + text(principal) +
                text("*") + struct.pack(">bb", operation, permission)
                for kind, pattern, name, principal, operation, permission in acls]
        reply = self.ask(CREATE_ACLS, 1, array(rows))
        reply.number("i")  # throttle time
        for _ in range(reply.number("i")):
            reply.check()

    def list_acls(self):
        reply = self.ask(DESCRIBE_ACLS, 1, acl_filter(ANY, ANY, None, None))
        reply.number("i")  # throttle time
        reply.check()
        found = []
        for _ in range(reply.number("i")):
            kind, name, pattern = reply.number("b"), reply.text(), reply.number("b")
            for _ in range(reply.number("i")):
                principal, _host = reply.text(), reply.text()
                found.append((kind, pattern, name, principal, reply.number("b"), reply.number("b")))
        return found

    def remove_acls(self, kind, pattern, name, principal):
        """Removes whatever this principal was allowed or denied there; returns how many rules."""
        reply = self.ask(DELETE_ACLS, 1, array([acl_filter(kind, pattern, name, principal)]))
        reply.number("i")  # throttle time
        removed = 0
        for _ in range(reply.number("i")):
            reply.check()
            for _ in range(reply.number("i")):
                reply.check()
                reply.number("b"), reply.text(), reply.number("b")
                reply.text(), reply.text(), reply.number("b"), reply.number("b")
                removed += 1
        return removed


def acl_filter(kind, pattern, name, principal):
    return (struct.pack(">b", kind) + text(name) + struct.pack(">b", pattern) + text(principal) +
            text(None) + struct.pack(">bb", ANY, ANY))
