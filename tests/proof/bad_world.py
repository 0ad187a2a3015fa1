"""A bad world around good jobs: files, credentials, network, disks, and other commands.

Each case is a function of a fresh place. Whatever goes wrong in it, afterwards the same
command finishes the work, every job has its own answer, and nothing was bought twice.
"""
import http.client
import http.server
import os
import resource
import signal
import socket
import threading
import time

import golden
import lib

FAIL, USAGE, AUTH, TEMP, INPUT = 1, 2, 4, 5, 6
WHO = ("--team", "shop", "--feature", "shelf")
IMPATIENT = {"http.give_up": "1s"}
NOBODY = 65534


class Scene(lib.Place):
    """A place with one good job file, one data folder and one way to run it."""

    def __init__(self, name, gold, jobs=12):
        self.name, self.gold = name, gold
        self.jobs = [lib.job(f"job-{n:05d}", f"{name}: question {n}") for n in range(jobs)]

    def __enter__(self):
        super().__enter__()
        self.file = self.write("jobs.jsonl", lib.lines_of(self.jobs))
        self.out = self.path("out.jsonl")
        return self

    def go(self, sim, file=None, out=None, run="r", more=(), **kwargs):
        settings = {**IMPATIENT, **kwargs.pop("settings", {})}
        return self.begin(sim, file or self.file, "--run", run, "-o", out or self.out, "-q",
                          *WHO, *more, settings=settings, **kwargs)

    def says(self, ended, codes, last=None):
        """The exit code, and the words."""
        codes = codes if isinstance(codes, tuple) else (codes,)
        lib.that(f"{self.name}: exit code {' or '.join(map(str, codes))}", ended.code in codes,
                 ended.code)
        self.gold.check(self.name, ended, self, last)
        return ended

    def complete(self, sim, ended, out=None, billed=None):
        """Every job has its own answer, once, and our books are the invoice."""
        if not lib.equal(f"{self.name}: in the end", ended.code, 0):
            print(ended.err[-1500:])
            return
        results = lib.read_lines(out or self.out)
        answers = {r["custom_id"]: lib.digest_in(r) for r in results}
        wanted = {j["custom_id"]: lib.digest_of(j) for j in self.jobs}
        lib.that(f"{self.name}: every job has its own answer, once",
                 answers == wanted and len(results) == len(wanted), f"{len(results)} results")
        self.bought_once(sim, billed)

    def bought_once(self, sim, billed=None):
        invoice = sim.invoice()
        lib.equal(f"{self.name}: requests billed twice", invoice["requests_billed_twice"], 0)
        lib.equal(f"{self.name}: spent is what the provider billed",
                  self.spend()["cost_usd"], sim.billed() if billed is None else billed)

    def again(self, sim, **kwargs):
        """The same command, once the world is well."""
        self.complete(sim, self.go(sim, **kwargs).wait())


# ---- files ----


def empty_file(s, sim):
    s.says(s.go(sim, file=s.write("empty.jsonl", "")).wait(), (0, INPUT))


def only_blank_lines(s, sim):
    s.says(s.go(sim, file=s.write("blank.jsonl", "\n \n\r\n")).wait(), (0, INPUT))


def no_such_file(s, sim):
    s.says(s.go(sim, file=s.path("none.jsonl")).wait(), (USAGE, INPUT))


def a_directory(s, sim):
    s.path("folder").mkdir()
    s.says(s.go(sim, file=s.path("folder")).wait(), INPUT)


def a_pipe(s, sim):
    """Process substitution: <(zcat jobs.gz). It is copied first, and is a file from then on."""
    pipe = s.path("pipe")
    os.mkfifo(pipe)
    threading.Thread(target=lambda: pipe.write_text(s.file.read_text()), daemon=True).start()
    s.complete(sim, s.go(sim, file=pipe).wait())


def a_device(s, sim):
    s.says(s.go(sim, file="/dev/null").wait(), INPUT)


def may_not_be_read(s, sim):
    s.file.chmod(0)
    s.folder.chmod(0o777)
    s.says(s.go(sim, limits=lambda: os.setuid(NOBODY) if os.getuid() == 0 else None).wait(),
           INPUT)
    s.file.chmod(0o644)
    s.path("data").exists() and os.system(f"chown -R {os.getuid()} {s.path('data')}")


def _change_while_read(s, sim, change):
    s.jobs = [lib.job(f"job-{n:05d}", f"question {n}, {'long ' * 100}") for n in range(20000)]
    file = s.write("large.jsonl", lib.lines_of(s.jobs))
    hits, store = s.path("hits"), s.path("data/queue/data.mdb")
    run = s.go(sim, file=file, env=s.environment(
        sim, OFFPEAK_FAILPOINT="queue.before_commit:4=sleep_3000", OFFPEAK_FAILPOINT_LOG=hits))

    def in_the_middle():
        if hits.exists():
            return hits.read_text().count("queue.before_commit\n") >= 4
        return store.exists() and store.stat().st_blocks > 2048

    lib.wait_for(lambda: in_the_middle() or not run.alive())
    run.signal(signal.SIGSTOP)
    lib.that(f"{s.name}: stopped in the middle of the file", run.alive())
    change(file)
    run.signal(signal.SIGCONT)
    ended = s.says(run.wait(), (FAIL, INPUT), last=2)
    lib.that(f"{s.name}: no result file", not s.out.exists())
    return ended


def changed_while_read(s, sim):
    def change(file):
        with open(file, "r+b") as f:
            f.seek(-200, os.SEEK_END)
            f.write(b"LONG")
    _change_while_read(s, sim, change)


def cut_while_read(s, sim):
    _change_while_read(s, sim, lambda file: os.truncate(file, 6_000_000))


def the_run_had_other_bytes(s, sim):
    s.go(sim).wait()
    other = s.write("jobs.jsonl", lib.lines_of(s.jobs[:-1]))
    s.says(s.go(sim, file=other).wait(), USAGE)
    s.write("jobs.jsonl", lib.lines_of(s.jobs))
    s.again(sim)


def the_run_had_another_feature(s, sim):
    s.go(sim).wait()
    ended = s.run(sim, s.file, "--run", "r", "-o", s.out, "-q", "--team", "shop", "--feature",
                  "other")
    s.says(ended, USAGE)
    s.again(sim)


def out_folder_is_missing(s, sim):
    s.says(s.go(sim, out=s.path("none/out.jsonl")).wait(), USAGE)
    lib.equal(f"{s.name}: requests that left", sim.invoice()["requests"], 0)
    s.again(sim)


def out_folder_vanishes(s):
    sim = s.sim(hold=True)
    s.path("results").mkdir()
    run = _owner(s, sim, out=s.path("results/out.jsonl"))
    for left in s.path("results").iterdir():
        left.unlink()
    s.path("results").rmdir()
    sim.go()
    s.says(run.wait(), FAIL, last=2)
    away = s.path("elsewhere.jsonl")
    ended = s.offpeak("results", "--run", "r", "--data", s.path("data"), "-o", away)
    s.complete(sim, ended, out=away)
    s.path("results").mkdir()
    s.complete(sim, s.go(sim, out=s.path("results/out.jsonl")).wait(),
               out=s.path("results/out.jsonl"))


def out_is_a_directory(s, sim):
    s.path("folder").mkdir()
    s.says(s.go(sim, out=s.path("folder")).wait(), USAGE)


def out_is_the_input(s, sim):
    s.says(s.go(sim, out=s.file).wait(), USAGE)
    lib.equal(f"{s.name}: the input is whole", s.file.read_text(), lib.lines_of(s.jobs))


def out_is_a_link_to_the_input(s, sim):
    s.path("link").symlink_to(s.file)
    s.says(s.go(sim, out=s.path("link")).wait(), USAGE)
    lib.equal(f"{s.name}: the input is whole", s.file.read_text(), lib.lines_of(s.jobs))


def out_is_a_hard_link_of_the_input(s, sim):
    os.link(s.file, s.path("hard"))
    s.says(s.go(sim, out=s.path("hard")).wait(), USAGE)
    lib.equal(f"{s.name}: the input is whole", s.file.read_text(), lib.lines_of(s.jobs))


def errors_is_out(s, sim):
    s.says(s.go(sim, more=("--errors", s.out)).wait(), USAGE)


def the_data_folder_is_a_file(s, sim):
    s.write("data", "not a folder")
    s.says(s.go(sim).wait(), (FAIL, USAGE))


def results_of_no_such_run(s, sim):
    s.go(sim).wait()
    s.says(s.offpeak("results", "--run", "nope", "--data", s.path("data"), "-o", "-"), USAGE)


# ---- credentials ----


def no_key(s, sim):
    s.says(s.go(sim, key=None).wait(), AUTH)
    lib.equal(f"{s.name}: requests that left", sum(sim.stats()["operations"].values()), 0)
    s.again(sim)


def a_wrong_key(s, sim):
    s.says(s.go(sim, key="sk-wrong-0001-secret-tail").wait(), AUTH)
    # another key is another account; nothing was at the provider, so the run may change to it
    fresh = s.go(sim, run="r2").wait()
    s.complete(sim, fresh)


def an_empty_key_file(s, sim):
    s.says(s.go(sim, key=None, more=("--key-file", s.write("key", "\n"))).wait(), AUTH)


def a_missing_key_file(s, sim):
    s.says(s.go(sim, key=None, more=("--key-file", s.path("nokey"))).wait(), AUTH)


def a_key_of_two_lines(s, sim):
    s.says(s.go(sim, key=None, more=("--key-file", s.write("key", "sk-a\nsk-b\n"))).wait(), AUTH)


def a_key_in_the_config_file(s, sim):
    config = s.write("offpeak.yaml", "openai:\n  key: sk-inline-0123456789abcdef\n")
    ended = s.go(sim, key=None, more=("--config", config)).wait()
    s.says(ended, USAGE)
    lib.that(f"{s.name}: the key is not repeated", "0123456789abcdef" not in ended.err)


def a_key_as_a_setting(s, sim):
    ended = s.go(sim, key=None, settings={"openai.key_file": "sk-inline-0123456789ab"}).wait()
    s.says(ended, (USAGE, AUTH))
    lib.that(f"{s.name}: the key is not repeated", "0123456789ab" not in ended.err)


def plain_http_to_another_machine(s, sim):
    env = s.environment("http://192.0.2.1/v1")
    s.says(s.go(sim, env=env).wait(), (USAGE, AUTH))


def _interrupted(s, codes, faults, hold=False):
    """A fault that stops the account for two seconds in mid-run; then the same command."""
    sim = s.sim(faults=faults, speed=600, hold=hold)
    ended = s.go(sim).wait()
    sim.go()
    s.says(ended, codes, last=2)
    lib.that(f"{s.name}: no result file, the jobs wait", not s.out.exists())
    lib.equal(f"{s.name}: jobs that ended because of it",
              sum(r["headers"]["status"] != "ok" for r in s.cat("results.shop")), 0)
    time.sleep(2.2)
    s.again(sim)


def revoked_before_the_upload(s):
    _interrupted(s, AUTH, [{"on": "files.create", "do": "revoke_key", "for_seconds": 2}])


def revoked_before_the_create(s):
    _interrupted(s, AUTH, [{"on": "batches.create", "do": "revoke_key", "for_seconds": 2}])


def revoked_while_it_polls(s):
    _interrupted(s, AUTH, [{"on": "batches.get", "do": "revoke_key", "nth": 2,
                            "for_seconds": 2}], hold=True)


def revoked_before_the_download(s):
    _interrupted(s, AUTH, [{"on": "files.content", "do": "revoke_key", "for_seconds": 2}])


def quota_exhausted_at_the_create(s):
    _interrupted(s, TEMP, [{"on": "batches.create", "do": "quota", "for_seconds": 2}])


def quota_exhausted_at_the_second_batch(s):
    s.jobs += [lib.job(f"mini-{n}", f"another model {n}", model="gpt-4.1-mini")
               for n in range(6)]
    s.file.write_text(lib.lines_of(s.jobs))
    _interrupted(s, TEMP, [{"on": "batches.create", "do": "quota", "nth": 2,
                            "for_seconds": 2}])


def forbidden(s):
    """... and then the provider has forgotten the uploaded file as well."""
    sim = s.sim(faults=[{"on": "batches.create", "do": "status", "status": 403, "count": 0,
                         "code": "unsupported_country_region_territory"}])
    s.says(s.go(sim).wait(), AUTH, last=2)
    sim.stop()
    s.again(s.sim(port=sim.port))


# ---- network ----


class Stranger:
    """A server that is not the API: answers every connection with the same bytes."""

    def __init__(self, place, reply, port=0):
        self.reply, self.closing = reply, False
        self.socket = socket.create_server(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while not self.closing:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            with peer:
                if self.reply is None:  # reset, once it has begun to speak
                    peer.settimeout(5)
                    peer.recv(1)
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    continue
                try:
                    peer.settimeout(0.3)
                    while peer.recv(65536):
                        pass
                except OSError:
                    pass
                try:
                    peer.sendall(self.reply)
                except OSError:
                    pass

    def stop(self):
        self.closing = True
        # a thread in accept() keeps the port: wake it
        socket.create_connection(("127.0.0.1", self.port)).close()
        self.socket.close()
        time.sleep(0.05)


def _stranger(s, codes, reply):
    """Somebody else answers at the address; then the provider does."""
    stranger = Stranger(s, reply)
    s.says(s.go(stranger).wait(), codes, last=2)
    stranger.stop()
    sim = s.sim(port=stranger.port)
    s.again(sim)


def refused(s):
    port = s.sim()
    port.stop()
    s.says(s.go(port).wait(), TEMP, last=2)
    s.again(s.sim(port=port.port))


def reset(s):
    _stranger(s, TEMP, None)


def garbage(s):
    _stranger(s, (FAIL, TEMP), b"\x15\x03\x01\0\2\2\x46garbage garbage\n\n" * 9)


def a_login_page(s):
    page = b"<html><body>Please accept the terms of this hotel</body></html>"
    _stranger(s, (FAIL, TEMP), b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
              b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(page), page))


def a_redirect(s):
    _stranger(s, (FAIL, TEMP), b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.9/\r\n"
              b"Content-Length: 0\r\nConnection: close\r\n\r\n")


def a_proxys_refusal(s):
    page = b"<html><body>Category blocked: artificial intelligence</body></html>"
    _stranger(s, TEMP, b"HTTP/1.1 407 Proxy Authentication Required\r\n"
              b"Content-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
              % (len(page), page))


def the_address_lacks_v1(s):
    """No upload at that path: a mistake of the address, not of the jobs."""
    sim = s.sim()
    env = s.environment(sim.address)
    s.says(s.go(None, env=env).wait(), (USAGE, TEMP), last=2)
    s.again(sim)


def a_reply_cut_short(s):
    _stranger(s, TEMP, b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"id\":")


def no_such_host(s):
    env = s.environment("https://nobody.invalid/v1")
    s.says(s.go(None, env=env).wait(), TEMP, last=2)


def not_tls(s):
    stranger = Stranger(s, b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    env = s.environment(f"https://127.0.0.1:{stranger.port}/v1")
    s.says(s.go(None, env=env).wait(), (FAIL, TEMP), last=2)
    stranger.stop()


def no_address(s):
    s.says(s.go(None, env=s.environment("not an address")).wait(), USAGE)


class Portal:
    """What a hotel puts between: passes everything on, or shows its page where `page` says."""

    PAGE = b"<html><body>Please accept the terms of this hotel</body></html>\n"

    def __init__(self, sim, page):
        portal, self.page, self.shown = self, page, 0

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                peer = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=30)
                peer.request(self.command, self.path, body, dict(self.headers))
                reply = peer.getresponse()
                status, text, kind = reply.status, reply.read(), reply.getheader("Content-Type")
                if portal.page(self.command, self.path):
                    portal.shown += 1
                    status, text, kind = 200, portal.PAGE, "text/html"
                self.send_response(status)
                self.send_header("Content-Type", kind or "text/plain")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def away(self):
        self.page = lambda *_: False


def a_portal_before_the_results(s, sim):
    """Its page is no result file: what was paid for is fetched when the page is gone."""
    portal = Portal(sim, lambda _, path: path.endswith("/content"))
    s.says(s.go(portal).wait(), TEMP, last=2)
    lib.that(f"{s.name}: its page was shown again and again", portal.shown >= 2, portal.shown)
    lib.equal(f"{s.name}: results so far", len(s.cat("results.shop")), 0)
    portal.away()
    s.complete(sim, s.go(portal).wait())


def a_portal_in_mid_run(s, sim):
    portal = Portal(sim, lambda verb, _: verb == "GET")
    s.says(s.go(portal).wait(), TEMP, last=2)
    portal.away()
    s.complete(sim, s.go(portal).wait())


def a_portal_hides_the_create(s, sim):
    """The batch was made, and its page says nothing of that: it is looked for, not made anew."""
    portal = Portal(sim, lambda verb, path: verb == "POST" and path.endswith("/batches"))
    s.complete(sim, s.go(portal, settings={"http.give_up": "20s"}).wait())
    lib.equal(f"{s.name}: batches made", sim.stats()["operations"]["batches.create"], 1)


def nothing_but_503(s):
    sim = s.sim(faults=[{"on": "files.create", "do": "status", "status": 503, "count": 0}])
    s.says(s.go(sim).wait(), TEMP, last=2)
    sim.stop()
    s.again(s.sim(port=sim.port))


def _weather(s, faults, speed=600):
    """Faults that a client must get over by itself, without a person."""
    sim = s.sim(faults=faults, speed=speed)
    ended = s.go(sim, settings={"http.give_up": "20s"}).wait()
    s.complete(sim, ended)
    fired = {f"{f['on']} {f['do']}": f["fired"] for f in sim.stats()["faults"]}
    lib.that(f"{s.name}: the fault did strike", all(fired.values()), fired)


def reset_before_every_second_request(s):
    _weather(s, [{"on": op, "do": "drop_before", "p": 0.5, "count": 20}
                 for op in ("files.create", "batches.create", "batches.get", "files.content")])


def replies_are_lost(s):
    _weather(s, [{"on": "files.create", "do": "drop_after"},
                 {"on": "batches.create", "do": "drop_after"},
                 {"on": "batches.get", "do": "drop_after", "count": 3},
                 {"on": "files.content", "do": "drop_after"}])


def slow(s):
    _weather(s, [{"on": op, "do": "slow", "ms": 700, "count": 2}
                 for op in ("files.create", "batches.create", "files.content")])


def the_create_answers_late(s):
    _weather(s, [{"on": "batches.create", "do": "late", "ms": 1500}])


def overloaded(s):
    _weather(s, [{"on": op, "do": "status", "status": 503, "count": 3}
                 for op in ("files.create", "batches.create", "batches.get", "files.content")])


def overloaded_after_accepting(s):
    _weather(s, [{"on": "batches.create", "do": "status", "status": 500, "after": True}])


def asked_to_wait(s):
    _weather(s, [{"on": "batches.create", "do": "status", "status": 429, "retry_after": 1,
                  "code": "rate_limit_exceeded"}])


def downloads_are_cut(s):
    _weather(s, [{"on": "files.content", "do": "truncate", "bytes": 700, "count": 2}])


def lines_are_missing_twice_or_broken(s):
    sim = s.sim(faults=[{"on": "line", "do": "duplicate", "nth": 2},
                        {"on": "line", "do": "unknown_id", "nth": 5}], speed=600)
    ended = s.go(sim).wait()
    lib.that(f"{s.name}: exit code", ended.code in (0, 3), ended.code)
    results = lib.read_lines(s.out)
    lib.equal(f"{s.name}: results, one for each job",
              sorted(r["custom_id"] for r in results), [j["custom_id"] for j in s.jobs])
    ok = [r for r in results if r["offpeak"]["status"] == "ok"]
    own = {j["custom_id"]: lib.digest_of(j) for j in s.jobs}
    lib.that(f"{s.name}: at most one job suffers", len(ok) >= len(s.jobs) - 1, len(ok))
    lib.equal(f"{s.name}: answers that are not their own",
              [r["custom_id"] for r in ok if lib.digest_in(r) != own[r["custom_id"]]], [])


# ---- disk full ----


def _resize(s, mount, size):
    if lib.subprocess.run(["mount", "-o", f"remount,size={size}", mount], check=False).returncode:
        raise RuntimeError(f"could not resize {mount}")


def _data_of(s, size, jobs=400, stdin=False):
    """A data folder on a small file system, then on a larger one."""
    sim = s.sim()
    s.jobs = [lib.job(f"job-{n:05d}", f"{s.name} {n} {'more ' * 100}") for n in range(jobs)]
    s.file = s.write("jobs.jsonl", lib.lines_of(s.jobs))
    mount = s.tmpfs("data", size)

    def go():
        with open(s.file, "rb") as source:
            return s.go(sim, file="-" if stdin else None, stdin=source if stdin else None).wait()

    ended = go()
    lib.that(f"{s.name}: exit code {FAIL} or {TEMP}", ended.code in (FAIL, TEMP), ended.code)
    lib.that(f"{s.name}: it says that the disk is full",
             "no space left" in ended.err.lower(), lib.short(ended.err))
    s.gold.check(s.name, ended, s, last=2)
    _resize(s, mount, "256m")
    s.complete(sim, go())


def copying_the_input(s):
    _data_of(s, "600k", jobs=3000, stdin=True)


def committing_the_first_lines(s):
    _data_of(s, "400k")


def committing_more_lines(s):
    _data_of(s, "900k", jobs=2000)


def committing_at_any_moment(s):
    """Twenty sizes of disk: wherever it gets full, the same command goes on."""
    sim = s.sim()
    ended_at = []
    for step in range(20):
        s.jobs = [lib.job(f"job-{n:05d}", f"size {step}, {n} {'more ' * 60}") for n in range(150)]
        s.file.write_text(lib.lines_of(s.jobs))
        mount = s.tmpfs(f"data-{step}", f"{200 + 60 * step}k")
        ended = s.go(sim, run=f"r{step}", data=f"data-{step}").wait()
        ended_at.append(ended.code)
        _resize(s, mount, "64m")
        s.out.unlink(missing_ok=True)
        last = s.go(sim, run=f"r{step}", data=f"data-{step}").wait()
        lib.equal(f"{s.name}, {200 + 60 * step} kB, exit {ended.code}: the same command with "
                  "more room", last.code, 0)
        lib.equal("results", len(lib.read_lines(s.out)) if s.out.exists() else 0, len(s.jobs))
    lib.that(f"{s.name}: exit codes on the small disks are 0, {FAIL} or {TEMP}",
             set(ended_at) <= {0, FAIL, TEMP}, lib.counts(ended_at))
    lib.equal(f"{s.name}: requests billed twice", sim.invoice()["requests_billed_twice"], 0)
    lib.equal(f"{s.name}: requests", sim.invoice()["requests"], 20 * 150)


def _spool_of(s, size):
    sim = s.sim()
    s.jobs = [lib.job(f"job-{n:05d}", f"{s.name} {n}") for n in range(400)]
    s.file = s.write("jobs.jsonl", lib.lines_of(s.jobs))
    mount = s.tmpfs("data/spool", size)
    ended = s.go(sim).wait()
    lib.that(f"{s.name}: exit code {FAIL} or {TEMP}", ended.code in (FAIL, TEMP), ended.code)
    s.gold.check(s.name, ended, s, last=2)
    _resize(s, mount, "64m")
    s.again(sim)


def writing_the_upload(s):
    _spool_of(s, "40k")


def downloading_the_answers(s):
    _spool_of(s, "200k")


def writing_out(s):
    sim = s.sim()
    s.tmpfs("small", "4k")
    s.says(s.go(sim, out=s.path("small/out.jsonl")).wait(), FAIL, last=2)
    lib.equal(f"{s.name}: what is left in the folder", os.listdir(s.path("small")), [])
    s.again(sim)


def a_file_size_limit(s):
    """ulimit -f: what a system without root can be tested with."""
    sim = s.sim()
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))  # noqa: E731
    ended = s.go(sim, limits=limit).wait()
    lib.that(f"{s.name}: exit code {FAIL} or {TEMP}", ended.code in (FAIL, TEMP), ended.code)
    s.again(sim)


def out_is_dev_full(s):
    sim = s.sim()
    s.says(s.go(sim, out="/dev/full").wait(), FAIL, last=2)
    s.again(sim)


def the_stores_own_quota(s):
    """data.max_bytes: what the embedded store may hold."""
    sim = s.sim()
    s.jobs = [lib.job(f"job-{n:05d}", f"{s.name} {n} {'more ' * 200}") for n in range(3000)]
    s.file = s.write("jobs.jsonl", lib.lines_of(s.jobs))
    ended = s.go(sim, settings={"data.max_bytes": "2MB"}).wait()
    s.says(ended, (FAIL, TEMP), last=2)
    s.again(sim)


# ---- two commands at once ----


def _owner(s, sim, **kwargs):
    """A run under way, with a batch at the provider."""
    run = s.go(sim, **kwargs)
    lib.that(f"{s.name}: an owner with a batch at the provider",
             lib.wait_for(lambda: sim.stats()["operations"].get("batches.get", 0) > 0))
    return run


def a_second_file(s):
    sim = s.sim(hold=True)
    first = _owner(s, sim)
    more = [lib.job(f"more-{n}", f"second file {n}") for n in range(8)]
    out = s.path("more.out")
    second = s.go(sim, file=s.write("more.jsonl", lib.lines_of(more)), out=out, run="r2")
    lib.wait_for(lambda: len(s.cat("runs.shop")) == 2)
    sim.go()
    ended1, ended2 = first.wait(), second.wait()
    lib.equal(f"{s.name}: exit code of the run that joined", ended2.code, 0)
    lib.equal(f"{s.name}: its results", sorted(r["custom_id"] for r in lib.read_lines(out)),
              sorted(j["custom_id"] for j in more))
    s.complete(sim, ended1)
    s.gold.check(s.name, ended2, s)


def the_same_command_twice(s):
    sim = s.sim(hold=True)
    first = _owner(s, sim)
    other = s.path("other.out")
    second = s.go(sim, out=other)
    sim.go()
    ended1, ended2 = first.wait(), second.wait()
    s.complete(sim, ended2, out=other)
    s.complete(sim, ended1)
    lib.equal(f"{s.name}: calls", sim.invoice()["requests"], len(s.jobs))


def five_at_once(s):
    sim = s.sim()
    runs = [s.go(sim, out=s.path(f"out-{n}")) for n in range(5)]
    for number, run in enumerate(runs):
        s.complete(sim, run.wait(), out=s.path(f"out-{number}"))
    lib.equal(f"{s.name}: calls", sim.invoice()["requests"], len(s.jobs))


def another_endpoint(s):
    sim = s.sim(hold=True)
    first = _owner(s, sim)
    other = s.sim()
    before = len(s.cat("jobs.shop.shelf"))
    ended = s.go(other, file=s.write("o.jsonl", lib.lines_of(s.jobs[:3])), run="r2").wait()
    s.says(ended, TEMP)
    lib.equal(f"{s.name}: lines it added", len(s.cat("jobs.shop.shelf")) - before, 0)
    sim.go()
    s.complete(sim, first.wait())


def another_account(s):
    sim = s.sim(hold=True)
    first = _owner(s, sim)
    before = len(s.cat("jobs.shop.shelf"))
    ended = s.go(sim, file=s.write("o.jsonl", lib.lines_of(s.jobs[:3])), run="r2",
                 key="sk-other-0001").wait()
    s.says(ended, TEMP)
    lib.equal(f"{s.name}: lines it added", len(s.cat("jobs.shop.shelf")) - before, 0)
    sim.go()
    s.complete(sim, first.wait())


def reading_beside_the_owner(s):
    sim = s.sim(hold=True)
    first = _owner(s, sim)
    data = s.path("data")
    for command in (("results", "--run", "r", "-o", "-"), ("spend", "--json"),
                    ("spend", "--records"), ("cat", "ready"), ("cat", "open"), ("cat",),
                    ("budget", "show"), ("budget", "set", "shop", "--limit", "100", "--per",
                                         "day")):
        ended = s.offpeak(*command, "--data", data)
        lib.equal(f"{s.name}: {' '.join(command)}", ended.code, 0)
    lib.that(f"{s.name}: the owner was still at work", first.alive())
    sim.go()
    s.complete(sim, first.wait())


def the_owner_is_killed(s):
    sim = s.sim(hold=True)
    first = _owner(s, sim)
    out = s.path("more.out")
    more = [lib.job(f"more-{n}", f"second file {n}") for n in range(8)]
    second = s.go(sim, file=s.write("more.jsonl", lib.lines_of(more)), out=out, run="r2")
    lib.wait_for(lambda: len(s.cat("runs.shop")) == 2)
    first.signal(signal.SIGKILL)
    first.wait()
    sim.go()
    ended = second.wait()
    lib.equal(f"{s.name}: exit code of the run that took over", ended.code, 0)
    lib.equal(f"{s.name}: its results", sorted(r["custom_id"] for r in lib.read_lines(out)),
              sorted(j["custom_id"] for j in more))
    s.again(sim)
    lib.equal(f"{s.name}: calls", sim.invoice()["requests"], len(s.jobs) + len(more))


def interrupted(s):
    sim = s.sim(hold=True)
    first = _owner(s, sim)
    first.signal(signal.SIGINT)
    s.says(first.wait(), 130)
    sim.go()
    s.again(sim)


def terminated(s):
    sim = s.sim(hold=True)
    first = _owner(s, sim)
    first.signal(signal.SIGTERM)
    s.says(first.wait(), 143)
    sim.go()
    s.again(sim)


KINDS = {
    "files": (empty_file, only_blank_lines, no_such_file, a_directory, a_pipe, a_device,
              may_not_be_read, changed_while_read, cut_while_read, the_run_had_other_bytes,
              the_run_had_another_feature, out_folder_is_missing, out_folder_vanishes,
              out_is_a_directory, out_is_the_input, out_is_a_link_to_the_input,
              out_is_a_hard_link_of_the_input, errors_is_out, the_data_folder_is_a_file,
              results_of_no_such_run),
    "credentials": (no_key, a_wrong_key, an_empty_key_file, a_missing_key_file,
                    a_key_of_two_lines, a_key_in_the_config_file, a_key_as_a_setting,
                    plain_http_to_another_machine, revoked_before_the_upload,
                    revoked_before_the_create, revoked_while_it_polls,
                    revoked_before_the_download, quota_exhausted_at_the_create,
                    quota_exhausted_at_the_second_batch, forbidden),
    "network": (refused, reset, garbage, a_login_page, a_redirect, a_proxys_refusal,
                the_address_lacks_v1, a_reply_cut_short, a_portal_before_the_results,
                a_portal_in_mid_run, a_portal_hides_the_create, nothing_but_503,
                no_such_host, not_tls, no_address, reset_before_every_second_request,
                replies_are_lost, slow, the_create_answers_late, overloaded,
                overloaded_after_accepting, asked_to_wait, downloads_are_cut,
                lines_are_missing_twice_or_broken),
    "disk": (copying_the_input, committing_the_first_lines, committing_more_lines,
             committing_at_any_moment, writing_the_upload, downloading_the_answers, writing_out,
             a_file_size_limit, out_is_dev_full, the_stores_own_quota),
    "two": (a_second_file, the_same_command_twice, five_at_once, another_endpoint,
            another_account, reading_beside_the_owner, the_owner_is_killed, interrupted,
            terminated),
}


def needs_root(case):
    """Small file systems have to be mounted."""
    return case in KINDS["disk"] and case not in (a_file_size_limit, out_is_dev_full,
                                                  the_stores_own_quota)


def run(kind, record):
    gold, done = golden.Golden(kind, record), 0
    for case in KINDS[kind]:
        name = case.__name__.replace("_", " ")
        if not lib.wanted(name):
            continue
        if needs_root(case) and not lib.can_mount():
            print(f"left out, for it mounts a small file system: {name}")
            gold.left_out.add(name)
            continue
        began = time.monotonic()
        with Scene(name, gold) as scene:
            if case.__code__.co_argcount == 2:
                case(scene, scene.sim())
            else:
                case(scene)
        done += 1
        print(f"     {name}: {time.monotonic() - began:.1f} s")
    gold.done()
    lib.cases(kind, done)
