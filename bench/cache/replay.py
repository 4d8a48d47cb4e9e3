#!/usr/bin/env python3
"""A replay of a Zipf-like mix with changing sources and purges, against an origin that knows the right version.

usage: bench/cache/replay.py [--seconds 120] [--sources 5000] [--recipes 40] [--clients 8] [--flags '--cache-dir DIR'] [--csv FILE]

Every answer is decoded: its colour says which version of its source it shows. An answer that is older than the headers of its
source and the purges allow ends the run with an error. Prints hit rate and memory over time. Needs nothing but Python.
"""
import argparse
import bisect
import collections
import http.client
import http.server
import itertools
import json
import os
import random
import signal
import socketserver
import struct
import subprocess
import sys
import threading
import time
import zlib

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
# How sources may be cached, and for how many seconds an answer may be behind; None: until a purge.
CLASSES = [
    ("no-cache", 0.0),
    ("max-age=2, must-revalidate", 2.0),
    ("max-age=0", None),  # raised to an hour
    ("no-store", 0.0),
]
# Ages are whole seconds, the origin answers a moment after it looked, and a request may join a fetch that is under way.
SLACK = 1.1


def png(version):
    """64x48 in the colour of a version."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    colour = bytes([version & 255, version >> 8 & 255, 77])
    rows = (b"\0" + colour * 64) * 48
    head = struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def version_of(data):
    """The version that a PNG of one colour shows."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n", data[:60]
    at, pixels, palette = 8, b"", None
    while at < len(data):
        (length,), kind = struct.unpack(">I", data[at : at + 4]), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            depth, colour_type = body[8], body[9]
        elif kind == b"PLTE":
            palette = body
        elif kind == b"IDAT":
            pixels += body
        at += 12 + length
    # The first pixel of the first row is the same under every filter.
    first = zlib.decompress(pixels)[1:]
    if colour_type == 3:
        index = first[0] >> (8 - depth)
        rgb = palette[3 * index : 3 * index + 3]
    else:
        assert colour_type in (2, 6) and depth == 8, (colour_type, depth)
        rgb = first[:3]
    assert rgb[2] == 77, rgb
    return rgb[0] | rgb[1] << 8


class Source:
    def __init__(self, number):
        self.control, self.behind = CLASSES[number % len(CLASSES)]
        self.lock = threading.Lock()
        self.times = [0.0]  # when version n became current
        self.purged = 0  # the version that was current when the last purge was confirmed

    def current(self):
        return len(self.times) - 1

    def change(self):
        with self.lock:
            self.times.append(time.monotonic())

    def least(self, began):
        """The oldest version that a request that began then may show."""
        with self.lock:
            if self.behind is None:
                return self.purged
            return max(self.purged, bisect.bisect_right(self.times, began - self.behind - SLACK) - 1)


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    sources = []
    asked = itertools.count()

    def do_GET(self):
        next(Origin.asked)
        source = Origin.sources[int(self.path[1:-4])]
        version = source.current()
        etag = f'"{version}"'
        same = self.headers.get("if-none-match") == etag
        body = b"" if same else png(version)
        self.send_response(304 if same else 200)
        for name, value in (("etag", etag), ("cache-control", source.control), ("cache-tag", f"s{self.path[1:-4]}")):
            self.send_header(name, value)
        if not same:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class OriginServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seconds", type=float, default=120)
    p.add_argument("--sources", type=int, default=5000)
    p.add_argument("--recipes", type=int, default=40)
    p.add_argument("--clients", type=int, default=8)
    p.add_argument("--changes", type=float, default=20, help="changes of sources a second")
    p.add_argument("--purges", type=float, default=2, help="purges a second")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--binary", default=os.path.join(ROOT, "target/release/wholeplate"))
    p.add_argument("--flags", default="")
    p.add_argument("--csv")
    a = p.parse_args()
    Origin.sources = [Source(n) for n in range(a.sources)]
    origin = OriginServer(("127.0.0.1", 0), Origin)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    command = [a.binary, "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    command += ["--origin", f"http://127.0.0.1:{origin.server_port}", *a.flags.split()]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    ports = {}
    while len(ports) < 2:
        line = server.stdout.readline()
        if not line:
            sys.exit("the server did not start")
        ports["admin" if line.startswith("admin") else "main"] = int(line.strip().rsplit(":", 1)[1])
    stop, lock = threading.Event(), threading.Lock()
    counts, wrong = collections.Counter(), []
    # Zipf: the n-th source is asked for in proportion to 1/n.
    order = list(range(a.sources))
    random.Random(a.seed).shuffle(order)
    weights = list(itertools.accumulate(1 / (n + 1) for n in range(a.sources)))
    pick = lambda rng: order[bisect.bisect(weights, rng.random() * weights[-1])]

    def client(number):
        rng = random.Random(a.seed * 1000 + number)
        connection = http.client.HTTPConnection("127.0.0.1", ports["main"], timeout=60)
        while not stop.is_set():
            n = pick(rng)
            width = 1 + min(int(rng.expovariate(0.2)), a.recipes - 1)
            began = time.monotonic()
            least = Origin.sources[n].least(began)
            connection.request("GET", f"/cdn-cgi/image/width={width},format=png/{n}.png", headers={"host": "shop.example"})
            reply = connection.getresponse()
            body = reply.read()
            status = reply.getheader("cf-cache-status")
            problem = None
            if reply.status != 200:
                problem = f"{reply.status} {body[:100]!r}"
            else:
                shown = version_of(body)
                if not least <= shown <= Origin.sources[n].current():
                    problem = f"version {shown}, at least {least} expected"
            with lock:
                counts[status] += 1
                if problem:
                    wrong.append(f"{n}.png width={width} {Origin.sources[n].control} {status}: {problem}")
                    stop.set()

    def change(rng):
        while not stop.wait(1 / a.changes):
            Origin.sources[pick(rng)].change()

    def purge(rng):
        connection = http.client.HTTPConnection("127.0.0.1", ports["admin"], timeout=60)
        while not stop.wait(1 / a.purges):
            n = pick(rng)
            source = Origin.sources[n]
            current = source.current()
            body = rng.choice([{"files": [f"/{n}.png"]}, {"tags": [f"s{n}"]}, {"prefixes": [f"shop.example/{n}.png"]}])
            connection.request("POST", "/client/v4/zones/a/purge_cache", json.dumps(body))
            reply = connection.getresponse()
            if not json.loads(reply.read())["success"]:
                wrong.append(f"purge: {reply.status}")
                stop.set()
            with source.lock:
                source.purged = max(source.purged, current)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(a.clients)]
    threads += [threading.Thread(target=f, args=(random.Random(a.seed + n),)) for n, f in ((101, change), (102, purge))]
    for thread in threads:
        thread.start()
    rows, began, before = [], time.monotonic(), collections.Counter()
    print(f"{'s':>5} {'requests/s':>10} {'kept %':>7} {'origin':>7} {'MiB':>6}")
    while not stop.wait(min(10, a.seconds / 6)):
        with lock:
            now = counts.copy()
        since = now - before
        total, before = sum(since.values()), now
        kept = sum(since[status] for status in ("HIT", "REVALIDATED", "UPDATING", "STALE"))
        with open(f"/proc/{server.pid}/status") as status:
            memory = next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024
        elapsed = time.monotonic() - began
        row = (elapsed, total / (elapsed - (rows[-1][0] if rows else 0)), 100 * kept / max(total, 1), next(Origin.asked), memory)
        rows.append(row)
        print(f"{row[0]:5.0f} {row[1]:10.0f} {row[2]:7.1f} {row[3]:7} {row[4]:6.0f}", flush=True)
        if elapsed >= a.seconds:
            stop.set()
    for thread in threads:
        thread.join()
    server.send_signal(signal.SIGTERM)
    server.wait(30)
    print(", ".join(f"{status} {count}" for status, count in counts.most_common()))
    if a.csv:
        with open(a.csv, "w") as out:
            out.write("seconds,requests_per_second,kept_percent,origin_requests,rss_mib\n")
            out.writelines(",".join(f"{v:.1f}" for v in row) + "\n" for row in rows)
    if wrong:
        sys.exit("WRONG: " + "; ".join(wrong[:5]))
    print(f"{sum(counts.values())} answers, none older than allowed")


if __name__ == "__main__":
    main()
