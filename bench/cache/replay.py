#!/usr/bin/env python3
"""A day in an hour: a Zipf-like mix with changing sources, purges and outages, against an origin that knows the right version.

usage: bench/cache/replay.py [--seconds 3600] [--rate 60] [--cpu 0.3] [--flags '--cache-dir DIR'] [--csv FILE] [--binary FILE]

Every answer is decoded: its first pixel says which source it shows in which version. An answer that is older than the headers
of its source and the purges allow, of another source, or of another width ends the run with an error. The rate follows a day:
few requests at night, many in the evening. Figures are printed and appended to the CSV file as they come; bench/cache/plot.py
makes a picture of it. Needs nothing but Python.
"""
import argparse
import bisect
import collections
import http.client
import http.server
import itertools
import json
import math
import os
import random
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from email.utils import formatdate

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
WIDTH, HEIGHT = 96, 72
# The origin answers a moment after it looked, and a request may join a fetch that is under way. On a busy machine that takes
# longer: see `Delays`.
SLACK = 0.5
# How long an error of an origin may be kept.
ERROR = 10.0
HOST = "shop.example"


class Class:
    """How sources may be cached. `behind`: for how many seconds an answer may show an older version; `outage`: for how many
    while the origin fails; `ttl`: what a Worker says, for sources that are asked for by `cf.image`."""

    def __init__(self, control, behind, ttl=None, outage=None, expires=None):
        self.control, self.behind, self.ttl, self.outage, self.expires = control, behind, ttl, outage, expires


CLASSES = [
    Class("no-cache", 0),
    Class("max-age=30, must-revalidate", 30),
    Class("max-age=1, s-maxage=150, proxy-revalidate", 150),
    Class("max-age=0", 3600),  # raised to an hour
    Class(None, 3600),
    Class("must-revalidate", 60, expires=60),
    Class("no-store", 0),
    Class("stale-while-revalidate=10", 30, ttl=20),
    Class("stale-if-error=120", 20, ttl=20, outage=140),
    Class("max-age=600", 3600),
]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(number, version):
    """A band in a colour that says number and version, above noise that does not compress."""
    colour = bytes([version & 255, version >> 8 & 255, number % 251])
    band = (b"\0" + colour * WIDTH) * (HEIGHT // 2)
    noise = random.Random(number << 16 | version)
    rows = b"".join(b"\0" + noise.randbytes(3 * WIDTH) for _ in range(HEIGHT // 2))
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    data = zlib.compress(band + rows, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def shown(data):
    """Width, version and remainder of the number that a result shows. Reads it whole: chunks, check sums, pixels."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n", data[:60]
    at, pixels, palette, kind = 8, b"", None, None
    while at < len(data):
        (length,), kind = struct.unpack(">I", data[at : at + 4]), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + length]
        assert data[at + 8 + length : at + 12 + length] == struct.pack(">I", zlib.crc32(kind + body)), "check sum"
        if kind == b"IHDR":
            width, height, depth, colour_type = struct.unpack(">IIBB", body[:10])
        elif kind == b"PLTE":
            palette = body
        elif kind == b"IDAT":
            pixels += body
        at += 12 + length
    assert kind == b"IEND", kind
    rows = zlib.decompress(pixels)
    bits = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type] * depth
    assert len(rows) == height * (1 + (width * bits + 7) // 8), "pixels"
    # The first pixel of the first row is the same under every filter.
    if colour_type == 3:
        index = rows[1] >> (8 - depth)
        rgb = palette[3 * index : 3 * index + 3]
    else:
        assert colour_type in (2, 6) and depth == 8, (colour_type, depth)
        rgb = rows[1:4]
    return width, rgb[0] | rgb[1] << 8, rgb[2]


def recipe(number):
    width = 24 + number
    more = [{}, {"height": width, "fit": "cover", "gravity": "top"}, {"flip": "h"}, {"sharpen": 1}][number % 4]
    return {"width": width, "format": "png", **more}


def spelled(options, rng):
    """The options in a URL, in one of several spellings."""
    pairs = [f"{rng.choice(['w', 'width']) if name == 'width' else name}={value}" for name, value in options.items()]
    rng.shuffle(pairs)
    return ",".join(pairs)


class Source:
    def __init__(self, number):
        self.number = number
        self.kind = CLASSES[number % len(CLASSES)]
        self.lock = threading.Lock()
        self.times = [0.0]  # when version n became current
        self.gone = [False]  # whether version n is a 404
        self.purged = 0  # the version that was current when the last confirmed purge began
        self.purge = None  # the last purge, for messages

    def current(self):
        return len(self.times) - 1

    def change(self, gone):
        with self.lock:
            self.times.append(time.monotonic())
            self.gone.append(gone)

    def at(self, moment):
        return max(bisect.bisect_right(self.times, moment) - 1, 0)

    def least(self, moment, purged):
        """The oldest version that may be shown if those of `moment` may."""
        with self.lock:
            return max(purged, self.at(moment))

    def may_be_gone(self, moment, purged):
        """Whether 404 is right if it was so at `moment` or later."""
        with self.lock:
            return any(self.gone[max(purged, self.at(moment)) :])


class Delays:
    """The longest request of the last minute, or of any minute: what this machine may add to the age of an answer."""

    def __init__(self):
        self.minutes = collections.deque([(0, 0.0)], maxlen=2)
        self.longest = 0.0

    def add(self, moment, took):
        minute = int(moment // 60)
        if self.minutes[-1][0] != minute:
            self.minutes.append((minute, took))
        elif took > self.minutes[-1][1]:
            self.minutes[-1] = (minute, took)
        self.longest = max(self.longest, took)

    def slack(self):
        return SLACK + 2 * max(took for _, took in self.minutes)


class Outages:
    """When the origin fails for the sources that allow it."""

    def __init__(self, began, seconds):
        # Two longer ones, and a short one that nobody need notice.
        parts = ((0.25, 0.27), (0.5, 0.502), (0.6, 0.65))
        self.spans = [(began + a * seconds, began + b * seconds) for a, b in parts]

    def touches(self, start, end):
        return any(start <= b and a <= end for a, b in self.spans)


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    sources = []
    outages = None
    asked = itertools.count()
    confirmed = itertools.count()

    def do_GET(self):
        next(Origin.asked)
        source = Origin.sources[int(self.path[1:-4])]
        now = time.monotonic()
        if source.kind.outage and Origin.outages.touches(now, now):
            return self.answer(503, {}, b"")
        version = source.current()
        headers = {"etag": f'"{version}"', "cache-tag": f"s{source.number}"}
        if source.kind.control:
            headers["cache-control"] = source.kind.control
        if source.kind.expires:
            headers["expires"] = formatdate(time.time() + source.kind.expires, usegmt=True)
        if source.gone[version]:
            return self.answer(404, {"cache-control": "max-age=300", "cache-tag": headers["cache-tag"]}, b"")
        if self.headers.get("if-none-match") == headers["etag"]:
            next(Origin.confirmed)
            return self.answer(304, headers, None)
        self.answer(200, headers, png(source.number, version))

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if body is not None:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        if body:
            self.wfile.write(body)

    def log_message(self, *_):
        pass


class OriginServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def cpu_of(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_of(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def figures(port):
    """The figures of the cache: from a name with labels to a number."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith("wholeplate_cache_"))
    return {name: float(value) for name, value in pairs}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seconds", type=float, default=120)
    p.add_argument("--sources", type=int, default=5000)
    p.add_argument("--recipes", type=int, default=40)
    p.add_argument("--clients", type=int, default=4)
    p.add_argument("--rate", type=float, default=0, help="requests a second, on average; 0: as many as possible")
    p.add_argument("--cpu", type=float, default=0, help="cores that all parts together may take; 0: all")
    p.add_argument("--changes", type=float, default=5, help="changes of sources a second")
    p.add_argument("--purges", type=float, default=0.2, help="purges a second")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--binary", default=os.path.join(ROOT, "target/release/wholeplate"))
    p.add_argument("--flags", default="--memory 256 --cache-memory 16")
    p.add_argument("--csv")
    a = p.parse_args()
    Origin.sources = [Source(n) for n in range(a.sources)]
    Origin.outages = Outages(time.monotonic(), 0)
    origin = OriginServer(("127.0.0.1", 0), Origin)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        run(a, origin, os.path.join(folder, "socket"))


def run(a, origin, unix):
    command = [a.binary, "serve", "--listen", "127.0.0.1:0", "--unix", unix, "--admin", "127.0.0.1:0"]
    command += ["--origin", f"http://127.0.0.1:{origin.server_port}", "--cf-blob-header", "cf-blob"]
    command += ["--allow-origin", "*", "--allow-private-network", *a.flags.split()]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log = []
    threading.Thread(target=lambda: log.extend(server.stderr), daemon=True).start()
    ports, unix_open = {}, False
    while len(ports) < 2 or not unix_open:
        line = server.stdout.readline()
        if not line:
            sys.exit("the server did not start: " + "".join(log))
        if "unix:" in line:
            unix_open = True
        else:
            ports["admin" if line.startswith("admin") else "main"] = int(line.strip().rsplit(":", 1)[1])
    stop, lock = threading.Event(), threading.Lock()
    counts, wrong = collections.Counter(), []
    began = time.monotonic()
    Origin.outages = Outages(began, a.seconds)
    speed, delays = [1.0], Delays()
    # Zipf: the n-th source is asked for in proportion to 1/n, and so is the n-th recipe.
    order = list(range(a.sources))
    random.Random(a.seed).shuffle(order)
    zipf = lambda count: list(itertools.accumulate(1 / (n + 1) for n in range(count)))
    source_weights, recipe_weights = zipf(a.sources), zipf(a.recipes)
    rank = lambda weights, rng: bisect.bisect(weights, rng.random() * weights[-1])
    pick = lambda rng: Origin.sources[order[rank(source_weights, rng)]]

    def fail(text):
        with lock:
            wrong.append(f"{time.monotonic() - began:.1f} s: {text}")
        stop.set()

    def judge(source, reply, body, times):
        """What is wrong with an answer; None if nothing is."""
        start, end, purged, width = times
        delays.add(end, end - start)
        slack = delays.slack()
        failing = source.kind.outage and Origin.outages.touches(start - slack, end)
        behind = source.kind.outage if failing else source.kind.behind
        if reply.status == 404:
            return None if source.may_be_gone(start - ERROR - slack, purged) else "404, and it was there"
        if reply.status == 502 and failing:
            return None
        if reply.status != 200:
            return f"{reply.status} {body[:100]!r}"
        least = source.least(start - behind - slack, purged)
        try:
            found, version, remainder = shown(body)
        except (AssertionError, zlib.error, IndexError, KeyError) as e:
            return f"not a whole picture: {e!r}"
        if found != width or remainder != source.number % 251:
            return f"another picture: width {found}, remainder {remainder}"
        if not least <= version <= source.current() or source.gone[version]:
            return f"version {version}, at least {least} expected, now {source.current()}"
        return None

    def client(number):
        rng = random.Random(a.seed * 1000 + number)
        connections = {}
        next_at = time.monotonic() + rng.random()
        while not stop.is_set():
            if a.rate:
                hour = 24 * (time.monotonic() - began) / a.seconds
                # Least at 4 o'clock, most at 16 to 20.
                day = 1 + 0.7 * math.sin(2 * math.pi * (hour - 10) / 24)
                next_at = max(next_at + a.clients / (a.rate * day * speed[0]) * rng.uniform(0.5, 1.5), time.monotonic() - 1)
                if stop.wait(max(0, next_at - time.monotonic())):
                    break
            source = pick(rng)
            options = recipe(rank(recipe_weights, rng))
            if source.kind.ttl is None:
                target = f"/cdn-cgi/image/{spelled(options, rng)}/{source.number}.png"
                name, headers = "main", {"host": HOST}
            else:
                blob = json.dumps({"image": options, "cacheTtl": source.kind.ttl})
                name, target = "unix", f"/{source.number}.png"
                headers = {"host": f"127.0.0.1:{origin.server_port}", "x-forwarded-proto": "http", "cf-blob": blob}
            try:
                if name not in connections:
                    tcp = lambda: http.client.HTTPConnection("127.0.0.1", ports["main"], timeout=60)
                    connections[name] = tcp() if name == "main" else UnixConnection(unix)
                connection = connections[name]
                start, purged = time.monotonic(), source.purged
                connection.request("GET", target, headers=headers)
                reply = connection.getresponse()
                body = reply.read()
            except (OSError, http.client.HTTPException) as e:
                return fail(f"{target}: {e!r}")
            status = reply.getheader("cf-cache-status")
            problem = judge(source, reply, body, (start, time.monotonic(), purged, options["width"]))
            tier = (reply.getheader("cf-resized") or "").split("/")[0].removeprefix("internal=")
            with lock:
                counts[status] += 1
                counts[f"status {reply.status}"] += 1
                if tier in ("ram", "disk", "store"):
                    counts[f"tier {tier}"] += 1
            if problem:
                problem += f"; last purge {source.purge}; versions {source.times[-4:]}, {source.gone[-4:]}, now {time.monotonic()}"
                fail(f"{target} {headers} '{source.kind.control}' {status} {reply.getheader('age')}: {problem}")

    def change(rng):
        returning = []
        while not stop.wait(1 / a.changes):
            now = time.monotonic()
            while returning and returning[0][0] <= now:
                returning.pop(0)[1].change(False)
            source = pick(rng)
            if source.gone[source.current()]:
                continue
            gone = rng.random() < 0.02
            source.change(gone)
            if gone:
                returning.append((now + 15, source))

    def purge(rng):
        everything_at = [began + a.seconds * part for part in (0.4, 0.8)]
        while not stop.wait(1 / a.purges):
            source = pick(rng)
            named = [source]
            n, own = source.number, source.kind.ttl is None
            host = HOST if own else f"127.0.0.1:{origin.server_port}"
            file = f"/{n}.png" if own and rng.random() < 0.5 else f"http://{host}/{n}.png"
            body = rng.choice([{"files": [file]}, {"tags": [f"s{n}"]}, {"prefixes": [f"{host}/{n}.png"]}])
            if everything_at and time.monotonic() >= everything_at[0]:
                everything_at.pop(0)
                body, named = {"purge_everything": True}, Origin.sources
            currents = [source.current() for source in named]
            connection = http.client.HTTPConnection("127.0.0.1", ports["admin"], timeout=60)
            try:
                connection.request("POST", "/client/v4/zones/a/purge_cache", json.dumps(body))
                reply = json.loads(connection.getresponse().read())
            except (OSError, ValueError, http.client.HTTPException) as e:
                return fail(f"purge: {e!r}")
            connection.close()
            if not reply["success"]:
                return fail(f"purge: {reply}")
            with lock:
                counts["purges"] += 1
            for source, current in zip(named, currents):
                with source.lock:
                    source.purged = max(source.purged, current)
                    source.purge = (f"{time.monotonic() - began:.1f} s", body)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(a.clients)]
    threads += [threading.Thread(target=f, args=(random.Random(a.seed + n),)) for n, f in ((101, change), (102, purge))]
    for thread in threads:
        thread.start()
    columns = ("seconds", "requests_per_second", "kept_percent", "origin_requests", "rss_mib", "memory_mib", "disk_mib", "cpu_percent")
    out = open(a.csv, "w") if a.csv else None
    if out:
        out.write(",".join(columns) + "\n")
    print("".join(f"{name[:13]:>14}" for name in columns))
    before, last, peak = collections.Counter(), (began, cpu_of(server.pid) + cpu_of(os.getpid())), 0
    interval = min(10, a.seconds / 6)
    while not stop.wait(interval):
        with lock:
            now = counts.copy()
        since, before = now - before, now
        total = sum(count for status, count in since.items() if status and status.isupper())
        kept = sum(since[status] for status in ("HIT", "REVALIDATED", "UPDATING", "STALE"))
        moment, cpu = time.monotonic(), cpu_of(server.pid) + cpu_of(os.getpid())
        share = (cpu - last[1]) / (moment - last[0])
        if a.cpu:
            # Follows the limit slowly, and does not wait for a quiet moment to slow down.
            speed[0] = min(1.0, speed[0] * max(0.5, min(1.1, a.cpu / max(share, 0.01))))
        cache, rss = figures(ports["admin"]), rss_of(server.pid)
        peak = max(peak, rss)
        size = lambda tier: cache.get(f'wholeplate_cache_bytes{{tier="{tier}"}}', 0) / 2**20
        row = (moment - began, total / (moment - last[0]), 100 * kept / max(total, 1), next(Origin.asked), rss, size("memory"), size("disk"), 100 * share)
        last = (moment, cpu)
        print("".join(f"{value:14.1f}" for value in row), flush=True)
        if out:
            out.write(",".join(f"{value:.1f}" for value in row) + "\n")
            out.flush()
        if moment - began >= a.seconds:
            stop.set()
    for thread in threads:
        thread.join()
    cache = figures(ports["admin"])
    server.send_signal(signal.SIGTERM)
    server.wait(30)
    print(", ".join(f"{status} {count}" for status, count in counts.most_common()))
    print(f"longest request {delays.longest:.2f} s; peak of the samples {peak:.0f} MiB, {next(Origin.confirmed)} of {next(Origin.asked)} requests to the origin confirmed")
    for name in ("damaged_total", "errors_total", "evictions_total"):
        print(", ".join(f"{key} {value:.0f}" for key, value in cache.items() if name in key))
    if out:
        out.close()
    if wrong:
        sys.exit("WRONG: " + "; ".join(wrong[:5]) + "".join(log[-5:]))
    print(f"{sum(n for s, n in counts.items() if s and s.startswith('status'))} answers, none wrong, none older than allowed")


if __name__ == "__main__":
    main()
