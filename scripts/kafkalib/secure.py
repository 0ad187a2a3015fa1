"""What a secured node adds: a certificate authority of its own, users with a password and a
certificate each, and files with which librdkafka clients of every language connect as them.

    tls/ca.pem, tls/<user>.pem, tls/<user>.key     certificates; `broker` is the node itself
    clients/<user>.properties                      over TLS with the user's password
    clients/<user>.mtls.properties                 with the user's certificate instead

One user is one principal, however it proves who it is: User:<user>. `admin` may do everything,
everybody else only what access rules allow.
"""
import re
import secrets
import ssl
import subprocess

from kafkalib import fail, write_private

USERS = ["admin", "team-a", "team-b", "scheduler", "worker"]
DAYS = "3650"
KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def users(path=None):
    """{name: password}: the usual ones, or those of a file, one `name [password]` a line."""
    lines = path.read_text().splitlines() if path else USERS
    found = {}
    for number, line in enumerate(lines, 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        name, password = words[0], words[1] if len(words) > 1 else secrets.token_urlsafe(18)
        if len(words) > 2 or not re.fullmatch(r"[a-z0-9-]{1,40}", name) or name == "broker":
            fail(f"read '{path}', line {number}: a user is a name of a-z, 0-9 and '-', and a password")
        if not re.fullmatch(r"[A-Za-z0-9._~-]{1,200}", password):
            fail(f"read '{path}', line {number}: a password is made of letters, digits, '.', '_', '~', '-'")
        found[name] = password
    if "admin" not in found:
        fail(f"read '{path}': the user 'admin' is missing")
    return found


def openssl(*words):
    done = subprocess.run(["openssl", "req", "-x509", *KEY, "-days", DAYS, *words], check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, encoding="utf-8")
    if done.returncode:
        fail(f"make a certificate with openssl: {done.stdout.strip()}", "openssl 3 or newer is needed")


def make_certificates(folder, names):
    folder.mkdir(mode=0o700)
    ca = folder / "ca.pem", folder / "ca.key"
    openssl("-subj", "/CN=offpeak test authority", "-out", ca[0], "-keyout", ca[1])
    for name in [*names, "broker"]:
        openssl("-CA", ca[0], "-CAkey", ca[1], "-subj", f"/CN={name}",
                "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
                "-addext", "basicConstraints=critical,CA:FALSE",
                "-out", folder / f"{name}.pem", "-keyout", folder / f"{name}.key")
    parts = ("broker.key", "broker.pem", "ca.pem")
    write_private(folder / "keystore.pem", "".join((folder / p).read_text() for p in parts))


def write_clients(folder, tls, passwords, sasl, mtls):
    folder.mkdir(mode=0o700, exist_ok=True)
    for name, password in passwords.items():
        write_private(folder / f"{name}.properties",
            f"bootstrap.servers={sasl}\nsecurity.protocol=SASL_SSL\nsasl.mechanism=PLAIN\n"
            f"sasl.username={name}\nsasl.password={password}\nssl.ca.location={tls}/ca.pem\n")
        write_private(folder / f"{name}.mtls.properties",
            f"bootstrap.servers={mtls}\nsecurity.protocol=SSL\nssl.ca.location={tls}/ca.pem\n"
            f"ssl.certificate.location={tls}/{name}.pem\nssl.key.location={tls}/{name}.key\n")


def settings(tls, passwords):
    """Lines of server.properties. The node's own traffic needs its certificate too."""
    known = " ".join(f'user_{name}="{password}"' for name, password in passwords.items())
    return {
        "inter.broker.listener.name": "MTLS",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": f"{tls}/keystore.pem",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": f"{tls}/ca.pem",
        "ssl.principal.mapping.rules": "RULE:^CN=(.*?)$/$1/,DEFAULT",
        "listener.name.mtls.ssl.client.auth": "required",
        "listener.name.controller.ssl.client.auth": "required",
        "listener.name.sasl.ssl.client.auth": "none",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl.plain.sasl.jaas.config":
            f"org.apache.kafka.common.security.plain.PlainLoginModule required {known};",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": "User:admin;User:broker",
    }


def admin(tls):
    """The context with which scripts/kafka itself connects, as admin."""
    context = ssl.create_default_context(cafile=tls / "ca.pem")
    context.load_cert_chain(tls / "admin.pem", tls / "admin.key")
    return context
