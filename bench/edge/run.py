#!/usr/bin/env python3
"""Answers of 50 kB through edge mode beside nginx proxy_pass, over keep-alive at 1, 4 and 32 connections, in one run.

usage: bench/edge/run.py [--seconds 5] [--rounds 3] [--size 50000] [--binary target/release/wholeplate]

Needs nginx and wrk (apt-get install nginx wrk). The origin is a second nginx with one file. Everything listens on loopback.
Each figure is the median of its rounds; rounds alternate between the two, so that neither has the machine in a better hour.
"""
import argparse
import getpass
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
CONNECTIONS = (1, 4, 32)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    for _ in range(200):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"nothing listens on port {port}")


def nginx(folder, name, server):
    """Starts an nginx in the foreground, with two worker processes and without a log of requests."""
    here = os.path.join(folder, name)
    os.makedirs(here)
    config = os.path.join(here, "nginx.conf")
    user = f"user {getpass.getuser()};" if os.getuid() == 0 else ""
    paths = " ".join(f"{kind}_temp_path {here}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    with open(config, "w") as file:
        file.write(
            f"daemon off; {user} worker_processes 2; pid {here}/pid; error_log {here}/error.log;\n"
            f"events {{ worker_connections 1024; }}\n"
            f"http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; {paths}\n{server}\n}}\n"
        )
    return subprocess.Popen(["nginx", "-c", config, "-p", here, "-e", f"{here}/error.log"])


def wrk(url, connections, seconds):
    command = ["wrk", "--latency", f"-t{min(connections, 2)}", f"-c{connections}", f"-d{seconds}s", url]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        sys.exit(out)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=50_000)
    parser.add_argument("--binary", default=os.path.join(ROOT, "target/release/wholeplate"))
    given = parser.parse_args()
    for tool in ("nginx", "wrk"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: apt-get install nginx wrk")
    folder = tempfile.mkdtemp(prefix="edge-bench-")
    os.chmod(folder, 0o755)
    running = []
    try:
        os.makedirs(f"{folder}/site")
        with open(f"{folder}/site/file", "wb") as file:
            file.write(os.urandom(given.size))
        origin, proxy, edge = free_port(), free_port(), free_port()
        running.append(nginx(folder, "origin", f"server {{ listen 127.0.0.1:{origin}; root {folder}/site; }}"))
        running.append(
            nginx(
                folder,
                "proxy",
                f"upstream site {{ server 127.0.0.1:{origin}; keepalive 64; keepalive_requests 1000000; }}\n"
                f"server {{ listen 127.0.0.1:{proxy}; location / {{ proxy_pass http://site; proxy_http_version 1.1;\n"
                f"proxy_set_header Connection \"\"; proxy_set_header Host $host;\n"
                f"proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }}",
            )
        )
        command = [given.binary, "serve", "--listen", f"127.0.0.1:{edge}", "--origin", f"http://127.0.0.1:{origin}"]
        running.append(subprocess.Popen([*command, "--pass-through"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        urls = {"nginx": f"http://127.0.0.1:{proxy}/file", "wholeplate": f"http://127.0.0.1:{edge}/file"}
        for port in (origin, proxy, edge):
            wait_for(port)
        for url in urls.values():
            wrk(url, 4, 1)
        print(f"{'connections':>11} {'nginx':>10} {'wholeplate':>10} {'ratio':>6}   requests a second, {given.size} bytes each")
        for connections in CONNECTIONS:
            figures = {name: [] for name in urls}
            for _ in range(given.rounds):
                for name, url in urls.items():
                    figures[name].append(wrk(url, connections, given.seconds))
            ours, theirs = (statistics.median(figures[name]) for name in ("wholeplate", "nginx"))
            print(f"{connections:>11} {theirs:>10.0f} {ours:>10.0f} {ours / theirs:>6.2f}", flush=True)
    finally:
        for process in reversed(running):
            process.terminate()
        for process in running:
            process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
