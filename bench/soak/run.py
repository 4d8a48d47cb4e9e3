#!/usr/bin/env python3
"""Mixed load for an hour: every answer is checked, memory and descriptors of the processes are sampled, the process is replaced.

usage: bench/soak/run.py --out FOLDER [--minutes 60] [--rate 12] [--reloads 6] [--binary target/release/wholeplate] [--seed 1]
       bench/soak/plot.py FOLDER docs/soak.svg

The listening sockets, one TCP and one Unix, belong to this program, as they belong to systemd there (LISTEN_FDS). In the first third of
the time the process is replaced, in turn by a new one that starts before the old one gets SIGTERM, and by one that starts after the old
one has ended, while connections wait. The last process serves the other two thirds: its memory and descriptors must not grow.

An answer is wrong if its status, length, format, decoded size or (for the same URL) a single byte differs from what is expected; a 503 with
Retry-After is counted apart.
This program notices by its own clock that it, or a process that it started, was stopped (SIGSTOP) for a while: such a pause is listed,
and failures that overlap it are counted apart. Writes samples.csv, summary.json and the logs of the processes to FOLDER; the exit status
is 0 if nothing was wrong and nothing grew. Needs nothing but Python; with Pillow, results are decoded too.
"""
import argparse
import collections
import concurrent.futures
import csv
import fcntl
import http.client
import io
import json
import os
import random
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib

try:
    from PIL import Image
except ImportError:
    Image = None

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
SAMPLE_EVERY = 5
# The clock of this program jumped by more than this, or a process was seen stopped: a pause. What ends up to so long after it is affected.
PAUSE, AFTERWARDS = 4, 60
# A pause may last minutes; the deadlines of the server are shorter than this.
PATIENCE = 900
TICK, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
# Growth of the last process, between the second and the last fifth of its life, that is not growth: part of it, and MiB.
GROWTH, GROWTH_MIB, GROWTH_FILES = 0.10, 16, 8

SOURCES = ["lake.jpg", "balloon.jpg", "dunes.webp", "aurora.avif", "planet.gif", "moon-16bit.png", "turned.jpg", "citrus-cmyk.jpg", "dahlia-p3.jpg", "large.jpg"]
FORMATS = {"jpeg": "image/jpeg", "webp": "image/webp", "png": "image/png", "avif": "image/avif"}
# Requests that cannot be answered, with the status and the number of the error.
BAD = [
    ("width=100/half.jpg", 422, 9516),
    ("width=100/noise.jpg", 415, 9412),
    ("width=100/page.jpg", 415, 9412),
    ("width=100/empty.jpg", 415, 9412),
    ("width=100/huge.png", 403, 9413),
    ("width=100/nowhere.jpg", 404, 9404),
    ("width=-1/lake.jpg", 400, 9401),
    ("fit=sideways,width=9/lake.jpg", 400, 9401),
    ("width=100/../../etc/passwd", 404, 9404),
    ("width=100/http://127.0.0.1:1/a.jpg", 403, 9401),
]
KINDS = {"image": 30, "hit": 34, "not modified": 5, "binding": 10, "info": 4, "bad": 8, "slow reader": 2, "leaves": 3, "half a head": 2, "half an upload": 2}


def of_proc(pid, name):
    with open(f"/proc/{pid}/{name}") as f:
        return f.read()


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Wrong(Exception):
    pass


class Refused(Exception):
    """503 with `Retry-After`: an answer that is allowed, and counted."""


def check_refused(status, retry_after):
    if status == 503 and re.fullmatch(r"\d+", retry_after or ""):
        raise Refused


def size_of(data):
    """Format and size of an image, read from its bytes."""
    if data[:2] == b"\xff\xd8":
        at = 2
        while at < len(data):
            marker, length = data[at + 1], struct.unpack(">H", data[at + 2 : at + 4])[0]
            if marker in (0xC0, 0xC1, 0xC2):
                height, width = struct.unpack(">HH", data[at + 5 : at + 9])
                if data[-2:] != b"\xff\xd9":
                    raise Wrong("a JPEG without its end")
                return "image/jpeg", width, height
            at += 2 + length
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        if data[-8:-4] != b"IEND":
            raise Wrong("a PNG without its end")
        return "image/png", *struct.unpack(">II", data[16:24])
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        if len(data) != 8 + struct.unpack("<I", data[4:8])[0]:
            raise Wrong("a WebP of another length than it says")
        kind = data[12:16]
        if kind == b"VP8X":
            return "image/webp", int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
        if kind == b"VP8L":
            bits = int.from_bytes(data[21:25], "little")
            return "image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        width, height = struct.unpack("<HH", data[26:30])
        return "image/webp", width & 0x3FFF, height & 0x3FFF
    if data[4:12] == b"ftypavif" or data[4:12] == b"ftypavis":
        at = data.find(b"ispe")
        return "image/avif", *struct.unpack(">II", data[at + 8 : at + 16])
    raise Wrong(f"no image: {data[:16]!r}")


class Process:
    """One `wholeplate serve` on the inherited sockets."""

    def __init__(self, soak, number):
        a = soak.a
        self.number, self.role, self.folder = number, "serving", os.path.join(soak.folder, f"cache{number}")
        serve = [a.binary, "serve", "--listen", "none", "--admin", "127.0.0.1:0", "--origin", soak.pictures, "--memory", "512"]
        serve += ["--cache-memory", "16", "--cache-dir", self.folder, "--cache-disk", "64", "--max-source", "30MB"]
        tcp, unix = soak.listeners
        script = f'export LISTEN_PID=$$ LISTEN_FDS=2; exec "$@" 3<&{tcp} 4<&{unix} {tcp}<&- {unix}<&-'
        self.log = os.path.join(a.out, f"process{number}.log")
        with open(self.log, "w") as log:
            self.child = subprocess.Popen(["bash", "-c", script, "bash", *serve], stdout=subprocess.PIPE, stderr=log, text=True, pass_fds=(tcp, unix))
        self.pid = self.child.pid
        for line in self.child.stdout:
            if line.startswith("admin on"):
                self.admin = int(line.strip().rpartition(":")[2])
                break
        else:
            sys.exit(f"the process did not start, see {self.log}")
        while self.ask("/readyz")[0] != 200:
            time.sleep(0.05)

    def ask(self, path):
        c = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=PATIENCE)
        c.request("GET", path)
        r = c.getresponse()
        return r.status, r.read().decode()

    def metrics(self):
        lines = (line.rpartition(" ") for line in self.ask("/metrics")[1].splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    def sample(self):
        fields = of_proc(self.pid, "stat").rpartition(")")[2].split()
        return {"process": self.number, "role": self.role, "stopped": fields[0] == "T", "rss_mib": round(int(fields[21]) * PAGE / 2**20, 1),
                "files": len(os.listdir(f"/proc/{self.pid}/fd")), "threads": int(fields[17]), "cpu_seconds": (int(fields[11]) + int(fields[12])) / TICK}


class Soak:
    def __init__(self, a):
        self.a, self.rng, self.lock = a, random.Random(a.seed), threading.Lock()
        self.began, self.stop = time.monotonic(), threading.Event()
        self.folder = tempfile.mkdtemp(prefix="soak-")
        self.pictures = os.path.join(self.folder, "pictures")
        self.answers, self.took, self.notes = collections.Counter(), collections.defaultdict(list), collections.Counter()
        self.failures, self.pauses, self.reloads, self.samples, self.processes = [], [], [], [], []
        self.sums, self.kept = {}, threading.local()
        self.last = {}

    def now(self):
        return time.monotonic() - self.began

    # Preparation

    def prepare(self):
        shutil.copytree(os.path.join(ROOT, "demo"), self.pictures)
        path = lambda name: os.path.join(self.pictures, name)
        command = [self.a.binary, "transform", path("lake.jpg"), "-o", path("large.jpg"), "--options", "width=4000,height=3000,fit=cover,quality=85"]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        with open(path("lake.jpg"), "rb") as f:
            self.lake = f.read()
        head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
        chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        bad = {"half.jpg": self.lake[:300], "noise.jpg": random.Random(1).randbytes(50_000), "page.jpg": b"<!doctype html><p>no</p>", "empty.jpg": b"",
               "huge.png": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000)))}
        for name, data in bad.items():
            with open(path(name), "wb") as out:
                out.write(data)
        tcp = socket.socket()
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind(("127.0.0.1", 0))
        self.port, self.unix = tcp.getsockname()[1], os.path.join(self.folder, "images.sock")
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(self.unix)
        for s in (tcp, unix):
            s.listen(4096)
        # High numbers: 3 and 4 are theirs in the process.
        self.listeners = [fcntl.fcntl(s, fcntl.F_DUPFD, 50) for s in (tcp, unix)]
        self.open = (tcp, unix)

    # Requests

    def get(self, target, headers=None, connection=None):
        c = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        c.request("GET", target, headers={"host": "soak.example", **({} if connection else {"connection": "close"}), **(headers or {})})
        return self.answer(c)

    def answer(self, connection):
        r = connection.getresponse()
        body = r.read()
        check_refused(r.status, r.getheader("retry-after"))
        return r, body

    def image_target(self, rng):
        source, format = rng.choice(SOURCES), rng.choices(list(FORMATS), (50, 30, 12, 8))[0]
        width, height = rng.randrange(80, 700), rng.randrange(80, 500)
        return f"/cdn-cgi/image/width={width},height={height},fit=cover,format={format}/{source}", format, width, height

    def check_image(self, r, body, format, width, height):
        if r.status != 200:
            raise Wrong(f"status {r.status}: {body[:100]!r}")
        kind, *size = size_of(body)
        if [kind, r.getheader("content-type"), *size] != [FORMATS[format], FORMATS[format], width, height]:
            raise Wrong(f"{r.getheader('content-type')}, {kind} {size} instead of {FORMATS[format]} {width}x{height}")
        if Image and format != "avif":
            with Image.open(io.BytesIO(body)) as decoded:
                decoded.load()

    def check_same(self, target, body):
        with self.lock:
            known = self.sums.setdefault(target, zlib.crc32(body))
        if known != zlib.crc32(body):
            raise Wrong("other bytes than before")

    def image(self, rng):
        target, *expected = self.image_target(rng)
        r, body = self.get(target)
        self.check_image(r, body, *expected)

    def popular(self, rng):
        return self.image_target(random.Random(rng.randrange(60)))

    def hit(self, rng):
        """One of sixty results, over a connection that is kept. A server that stops closes it: then a new one, as browsers do."""
        target, *expected = self.popular(rng)
        for fresh in (False, True):
            c = None if fresh else getattr(self.kept, "connection", None)
            reused = c is not None
            c = c or http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            try:
                r, body = self.get(target, connection=c)
                self.kept.connection = c
                break
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                self.kept.connection = None
                if not reused:
                    raise
                self.note("kept connection was closed, asked again")
        self.check_image(r, body, *expected)
        self.check_same(target, body)
        self.note(f"hits: {r.getheader('cf-cache-status')}")

    def not_modified(self, rng):
        target, *_ = self.popular(rng)
        r, _ = self.get(target)
        r, body = self.get(target, {"if-none-match": r.getheader("etag")})
        if r.status != 304 or body:
            raise Wrong(f"status {r.status} with {len(body)} bytes instead of 304")

    def form(self, image, **texts):
        part = lambda name, more, data: b'--b\r\ncontent-disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (name.encode(), more, data)
        return part("image", b'; filename="image"', image) + b"".join(part(k, b"", v.encode()) for k, v in texts.items()) + b"--b--\r\n"

    def post(self, path, body):
        c = UnixConnection(self.unix)
        c.request("POST", path, body, {"content-type": "multipart/form-data; boundary=b", "connection": "close"})
        return self.answer(c)

    def binding(self, rng):
        width, height, format = rng.randrange(50, 600), rng.randrange(50, 400), rng.choice(["jpeg", "webp", "png"])
        steps = json.dumps([{"imageIndex": 0, "width": width, "height": height, "fit": "cover"}])
        r, body = self.post("/transform", self.form(self.lake, transforms=steps, output_format=FORMATS[format]))
        self.check_image(r, body, format, width, height)

    def info(self, rng):
        r, body = self.post("/info", self.form(self.lake))
        if r.status != 200 or json.loads(body) != {"format": "image/jpeg", "file_size": len(self.lake), "width": self.lake_size[0], "height": self.lake_size[1]}:
            raise Wrong(f"status {r.status}: {body[:100]!r}")

    def bad(self, rng):
        target, status, number = rng.choice(BAD)
        r, body = self.get("/cdn-cgi/image/" + target)
        found = re.match(rb"ERROR (\d+): ", body)
        if (r.status, found and int(found[1])) != (status, number):
            raise Wrong(f"{target}: status {r.status}, {body[:100]!r} instead of {status}, {number}")

    def slow_reader(self, rng):
        """Takes about a quarter of a minute for the whole result."""
        width, height = rng.randrange(900, 1000), 700
        target = f"/cdn-cgi/image/width={width},height={height},fit=cover,format=png/lake.jpg"
        with socket.socket() as s:
            s.settimeout(PATIENCE)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
            s.connect(("127.0.0.1", self.port))
            s.sendall(f"GET {target} HTTP/1.1\r\nhost: soak.example\r\nconnection: close\r\n\r\n".encode())
            received = bytearray()
            while data := s.recv(32 << 10):
                received += data
                time.sleep(len(data) / 100_000)
        head, _, body = bytes(received).partition(b"\r\n\r\n")
        retry, length = (re.search(rb"\r\n%s: (\d+)" % name, head) for name in (b"retry-after", b"content-length"))
        check_refused(int(head[9:12] or 0), retry and retry[1].decode())
        if not head.startswith(b"HTTP/1.1 200 ") or int(length[1]) != len(body):
            raise Wrong(f"{len(body)} bytes: {head[:200]!r}")
        if size_of(body) != ("image/png", width, height):
            raise Wrong(f"{size_of(body)}")

    def leave(self, first, pause, unix=False):
        s = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
        s.settimeout(PATIENCE)
        s.connect(self.unix if unix else ("127.0.0.1", self.port))
        s.sendall(first)
        time.sleep(pause)
        # A reset for TCP.
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()

    def leaves(self, rng):
        """Asks for an expensive image and leaves while it is computed."""
        self.leave(f"GET /cdn-cgi/image/width={rng.randrange(1000, 2000)},format=webp/large.jpg HTTP/1.1\r\nhost: soak.example\r\n\r\n".encode(), rng.random() * 0.1)

    def half_a_head(self, rng):
        self.leave(b"GET /cdn-cgi/image/width=100/lake.jpg HTTP/1.1\r\nho", rng.random() * 3)

    def half_an_upload(self, rng):
        body = self.form(self.lake, transforms="[]", output_format="image/png")
        head = b"POST /transform HTTP/1.1\r\nhost: soak.example\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.leave(head + body[: len(body) // 2], rng.random(), unix=True)

    def note(self, text):
        with self.lock:
            self.notes[text] += 1

    def one(self, kind, seed):
        began = self.now()
        try:
            getattr(self, kind.replace(" ", "_"))(random.Random(seed))
            outcome = "ok"
        except Refused:
            outcome = "refused"
        except Exception as e:  # Anything else is a wrong answer too.
            outcome = "failed"
            with self.lock:
                self.failures.append({"kind": kind, "began": began, "ended": self.now(), "seed": seed, "what": f"{type(e).__name__}: {e}"})
        with self.lock:
            self.answers[kind, outcome] += 1
            self.took[kind].append(self.now() - began)

    # What goes on beside the requests

    def watch(self):
        """Pauses of this program and of the processes, and samples."""
        with open(os.path.join(self.a.out, "samples.csv"), "w", newline="") as out:
            table = csv.DictWriter(out, ["seconds", "process", "role", "rss_mib", "files", "threads", "cpu_seconds", "answers", "failed", "paused_seconds"])
            table.writeheader()
            before, next_sample, stopped_since = self.now(), 0, None
            while not self.stop.wait(0.5):
                now = self.now()
                if now - before > PAUSE:
                    self.pauses.append([before, now])
                before = now
                rows = []
                for p in list(self.processes):
                    try:
                        rows.append(p.sample())
                    except (OSError, IndexError):
                        continue
                if any(row.pop("stopped") for row in rows):
                    stopped_since = now if stopped_since is None else stopped_since
                elif stopped_since is not None:
                    self.pauses.append([stopped_since, now])
                    stopped_since = None
                if now < next_sample:
                    continue
                next_sample = now + SAMPLE_EVERY
                with self.lock:
                    answers, failed = sum(self.answers.values()), len(self.failures)
                for row in rows:
                    row |= {"seconds": round(now, 1), "answers": answers, "failed": failed, "paused_seconds": round(sum(b - a for a, b in self.pauses), 1)}
                    table.writerow(row)
                    self.samples.append(row)
                out.flush()

    def finish(self, process):
        """SIGTERM, and what the process says at its end."""
        metrics = process.metrics()
        process.role = "stopping"
        began = self.now()
        process.child.send_signal(signal.SIGTERM)
        status = process.child.wait()
        self.processes.remove(process)
        with open(process.log) as log:
            lines = [line for line in log if " WARN " in line or " ERROR " in line or "panicked" in line or "stopped:" in line]
        pick = lambda name: sum(v for k, v in metrics.items() if k.split("{")[0] == name)
        cut = {k: v for k, v in metrics.items() if k.startswith("wholeplate_responses_cut_total") and v}
        shutil.rmtree(process.folder, ignore_errors=True)
        return {"process": process.number, "exit_status": status, "drained_seconds": round(self.now() - began, 2), "began": round(began, 1), "cut": cut,
                "panics": pick("wholeplate_handler_panics_total"), "internal_errors": pick("wholeplate_images_internal_errors_total"), "last": lines[-1:],
                "warnings": dict(collections.Counter(re.sub(r"^\S+\s+|\d+", "", line).strip()[:120] for line in lines[:-1]).most_common(5))}

    def replace(self):
        """In turn with and without a moment in which both serve."""
        for n in range(self.a.reloads):
            at = (n + 1) * self.a.minutes * 60 / 3 / (self.a.reloads + 1)
            while self.now() - sum(b - a for a, b in self.pauses) < at:
                if self.stop.wait(0.2):
                    return
            old, both = self.processes[-1], n % 2 == 0
            if both:
                self.processes.append(Process(self, n + 2))
                ended = self.finish(old)
            else:
                ended = self.finish(old)
                self.processes.append(Process(self, n + 2))
            self.reloads.append(ended | {"both_served": both})
            print(f"{self.now():7.0f} s  replaced, {'both served meanwhile' if both else 'connections waited'}: {ended}", flush=True)

    def run(self):
        self.prepare()
        self.processes.append(Process(self, 1))
        _, *self.lake_size = size_of(self.lake)
        background = [threading.Thread(target=f) for f in (self.watch, self.replace)]
        for thread in background:
            thread.start()
        rng, kinds = self.rng, list(KINDS)
        told, due = 0, self.now()
        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            pending = set()
            while (now := self.now()) < self.a.minutes * 60 + sum(b - a for a, b in self.pauses) and not self.stop.is_set():
                pending = {f for f in pending if not f.done()}
                if now < due:
                    time.sleep(min(due - now, 0.5))
                    continue
                # After a pause nothing is caught up.
                due = max(due, now - 1) + rng.expovariate(self.a.rate)
                if len(pending) < 200:
                    pending.add(pool.submit(self.one, rng.choices(kinds, KINDS.values())[0], rng.randrange(1 << 40)))
                if now - told > 60:
                    told = now
                    print(f"{now:7.0f} s  {dict(collections.Counter({o: sum(v for (_, p), v in self.answers.items() if p == o) for _, o in self.answers}))} {self.processes[-1].sample()}", flush=True)
        loaded = self.now()
        # Idle: what is still there now is not work. The cache stays.
        self.stop.wait(15)
        time.sleep(SAMPLE_EVERY)
        self.stop.set()
        for thread in background:
            thread.join()
        last = self.processes[-1].number
        for p in list(self.processes):
            self.reloads.append(self.finish(p) | {"both_served": None})
        return self.summary(last, loaded)

    def summary(self, last, loaded):
        affected = lambda f: any(f["began"] < b + AFTERWARDS and f["ended"] > a for a, b in self.pauses)
        wrong = [f for f in self.failures if not affected(f)]
        # Since the last process has been the only one.
        mine = [s for s in self.samples if s["process"] == last and s["role"] == "serving" and s["seconds"] <= loaded]
        fifth = max(1, len(mine) // 5)
        medians = lambda what: [statistics.median(s[what] for s in part) for part in (mine[fifth : 2 * fifth] or mine, mine[-fifth:])]
        rss, files = medians("rss_mib"), medians("files")
        grown = rss[1] - rss[0] > max(GROWTH * rss[0], GROWTH_MIB) or files[1] - files[0] > GROWTH_FILES
        bad_ends = [r for r in self.reloads if r["exit_status"] or r["panics"] or r["internal_errors"]]
        at = lambda values, part: round(1e3 * sorted(values)[min(len(values) - 1, int(len(values) * part))], 1)
        answers = {kind: {o: v for (k, o), v in self.answers.items() if k == kind} | {"p50_ms": at(self.took[kind], 0.5), "p99_ms": at(self.took[kind], 0.99)} for kind in self.took}
        result = {"binary": os.path.basename(self.a.binary), "minutes": self.a.minutes, "rate": self.a.rate, "seed": self.a.seed, "decoded": Image is not None,
                  "seconds": round(self.now(), 1), "pauses": [[round(t, 1) for t in p] for p in self.pauses], "answers": answers, "notes": dict(self.notes),
                  "wrong": wrong[:50], "wrong_count": len(wrong), "failed_beside_pauses": len(self.failures) - len(wrong), "processes": self.reloads,
                  "last_process": {"seconds": round(mine[-1]["seconds"] - mine[0]["seconds"]), "rss_mib": rss, "files": files, "grown": grown,
                                   "idle_rss_mib": self.samples[-1]["rss_mib"], "idle_files": self.samples[-1]["files"],
                                   "cpu_share": round(mine[-1]["cpu_seconds"] / max(1, mine[-1]["seconds"] - mine[0]["seconds"]), 3)}}
        with open(os.path.join(self.a.out, "summary.json"), "w") as out:
            json.dump(result, out, indent=1)
        print(json.dumps({k: v for k, v in result.items() if k != "processes"}, indent=1))
        return bool(wrong or grown or bad_ends)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--binary", default=os.path.join(ROOT, "target/release/wholeplate"))
    p.add_argument("--out", required=True)
    p.add_argument("--minutes", type=float, default=60)
    p.add_argument("--rate", type=float, default=12, help="requests a second")
    p.add_argument("--reloads", type=int, default=6)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    soak = Soak(a)
    # The end comes early, in good order.
    signal.signal(signal.SIGTERM, lambda *_: soak.stop.set())
    try:
        failed = soak.run()
    finally:
        soak.stop.set()
        for process in soak.processes:
            process.child.kill()
        shutil.rmtree(soak.folder, ignore_errors=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
