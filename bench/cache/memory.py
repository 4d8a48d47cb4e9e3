#!/usr/bin/env python3
"""Peak memory while the cache is full: at most `memory` and 15 % (CAC-030).

usage: bench/cache/memory.py [--memory 256,1024] [--seconds 60] [--clients 16] [--binary target/release/wholeplate]

For each size of `memory`: the memory tier is as large as it may be (a quarter), a folder is behind it, and many clients at once
ask for large and small results of large sources, read some of them slowly, and upload images to the binding. Ends with an error
if the peak is above the bound, or if an answer is neither right nor a 503. Needs nothing but Python.
"""
import argparse
import collections
import http.client
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib

from replay import ROOT, UnixConnection, chunk, figures

SOURCES = 24


def noise(path, seed, width, height):
    rng = random.Random(seed)
    rows = b"".join(b"\0" + rng.randbytes(3 * width) for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(rows, 0)
    with open(path, "wb") as out:
        out.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def measure(a, memory, pictures):
    with tempfile.TemporaryDirectory() as folder:
        unix = os.path.join(folder, "socket")
        command = [a.binary, "serve", "--listen", "127.0.0.1:0", "--unix", unix, "--admin", "127.0.0.1:0", "--origin", pictures]
        command += ["--memory", str(memory), "--cache-memory", str(memory // 4), "--cache-disk", "2048"]
        command += ["--cache-dir", os.path.join(folder, "cache")]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        ports, unix_open = {}, False
        while len(ports) < 2 or not unix_open:
            line = server.stdout.readline()
            if not line:
                sys.exit("the server did not start")
            if "unix:" in line:
                unix_open = True
            else:
                ports["admin" if line.startswith("admin") else "main"] = int(line.strip().rsplit(":", 1)[1])
        stop, lock, counts, wrong = threading.Event(), threading.Lock(), collections.Counter(), []
        sums = {}

        def count(key):
            with lock:
                counts[key] += 1

        def fail(text):
            with lock:
                wrong.append(text)
            stop.set()

        def client(number):
            rng = random.Random(number)
            while not stop.is_set():
                try:
                    one(rng)
                except (OSError, http.client.HTTPException) as e:
                    fail(repr(e))

        def one(rng):
            source = rng.randrange(SOURCES)
            if rng.random() < 0.1:
                boundary = "b" * 20
                with open(os.path.join(pictures, f"{source}.png"), "rb") as file:
                    part = b'--%s\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\n%s\r\n' % (boundary.encode(), file.read())
                text = lambda name, value: f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
                body = part + text("transforms", '[{"imageIndex":0,"width":%d}]' % rng.randrange(100, 1000)) + text("output_format", "image/jpeg")
                connection = UnixConnection(unix)
                connection.request("POST", "/transform", body + f"--{boundary}--\r\n".encode(), {"content-type": f"multipart/form-data; boundary={boundary}"})
                key = None
            else:
                # Results of 30 kB to 6 MB, more of them than the tier holds, and a quarter that is asked for often.
                width = rng.choice([100, 400, 700]) if rng.random() < 0.25 else rng.randrange(100, 1500)
                key = f"/cdn-cgi/image/width={width},format=png/{source}.png"
                connection = http.client.HTTPConnection("127.0.0.1", ports["main"], timeout=120)
                connection.request("GET", key, headers={"host": "shop.example"})
            reply = connection.getresponse()
            if rng.random() < 0.1 and key:
                # A slow reader: the response stays in memory meanwhile.
                stop.wait(2)
            body = reply.read()
            connection.close()
            status = reply.getheader("cf-cache-status")
            count(f"{reply.status} {status if reply.status == 200 else ''}".strip())
            if reply.status == 200 and key:
                with lock:
                    known = sums.setdefault(key, zlib.crc32(body))
                if known != zlib.crc32(body):
                    fail(f"{key}: two answers, {status}")
            elif reply.status not in (200, 503):
                fail(f"{key}: {reply.status} {body[:200]!r}")

        threads = [threading.Thread(target=client, args=(n,)) for n in range(a.clients)]
        for thread in threads:
            thread.start()
        stop.wait(a.seconds)
        stop.set()
        for thread in threads:
            thread.join()
        cache = figures(ports["admin"])
        with open(f"/proc/{server.pid}/status") as status:
            peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    size = lambda tier: cache[f'wholeplate_cache_bytes{{tier="{tier}"}}'] / 2**20
    evicted = cache['wholeplate_cache_evictions_total{tier="memory"}']
    print(f"memory={memory}: peak {peak:.0f} MiB, bound {memory * 1.15:.0f}; memory tier {size('memory'):.0f} of {memory // 4} MiB, "
          f"{evicted:.0f} evictions; folder {size('disk'):.0f} MiB; {dict(counts)}", flush=True)
    if not evicted:
        print("  the tier did not become full: more seconds are needed")
    if wrong:
        sys.exit("WRONG: " + "; ".join(wrong[:3]))
    return peak <= memory * 1.15


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--memory", default="256,1024")
    p.add_argument("--seconds", type=float, default=60)
    p.add_argument("--clients", type=int, default=16)
    p.add_argument("--binary", default=os.path.join(ROOT, "target/release/wholeplate"))
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as pictures:
        for n in range(SOURCES):
            noise(os.path.join(pictures, f"{n}.png"), n, 1600, 1200)
        kept = [measure(a, int(memory), pictures) for memory in a.memory.split(",")]
    if not all(kept):
        sys.exit("above the bound")


if __name__ == "__main__":
    main()
