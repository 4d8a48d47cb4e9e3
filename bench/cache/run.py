#!/usr/bin/env python3
"""Hits of a 53 kB result at 1, 4 and 32 keep-alive connections: Wholeplate beside nginx proxy_cache, in one run.

usage: bench/cache/run.py [--seconds 5] [--binary target/release/wholeplate]

Needs nginx (apt-get install nginx) and nothing else. Everything listens on loopback. Each row is the median of three rounds that
alternate between the two, so that neither has the machine in a better hour.
"""
import argparse, http.client, os, signal, socket, statistics, subprocess, sys, tempfile, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def worker(port, target, until, latencies):
    """One connection: requests one after the other over a plain socket, so that the client costs little."""
    s = socket.create_connection(("127.0.0.1", port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    request = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    buffer = bytearray(1 << 20)
    while time.perf_counter() < until:
        began = time.perf_counter()
        s.sendall(request)
        got, total = 0, None
        while total is None or got < total:
            n = s.recv_into(memoryview(buffer)[got:])
            if n == 0:
                raise SystemExit("the connection was closed")
            got += n
            if total is None:
                end = buffer.find(b"\r\n\r\n", 0, got)
                if end >= 0:
                    head = bytes(buffer[:end]).lower()
                    if not head.startswith(b"http/1.1 200"):
                        raise SystemExit(head.decode())
                    length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
                    total = end + 4 + length
        latencies.append(time.perf_counter() - began)


def client_process(port, target, connections, seconds):
    """The load comes from processes of its own: Python's lock would measure itself."""
    processes = min(connections, 4)
    code = (
        "import sys,threading,time;sys.path.insert(0,%r);import run;"
        "a=sys.argv;l=[];u=time.perf_counter()+float(a[4]);"
        "t=[threading.Thread(target=run.worker,args=(int(a[1]),a[2],u,l)) for _ in range(int(a[3]))];"
        "[x.start() for x in t];[x.join() for x in t];print(' '.join('%%.6f'%%v for v in l))"
    ) % HERE
    share = [connections // processes + (i < connections % processes) for i in range(processes)]
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(port), target, str(n), str(seconds)], stdout=subprocess.PIPE, text=True)
        for n in share
    ]
    latencies = []
    for p in running:
        latencies += [float(v) for v in p.communicate()[0].split()]
    latencies.sort()
    return {
        "rps": len(latencies) / seconds,
        "p50": statistics.median(latencies) * 1e3,
        "p99": latencies[int(len(latencies) * 0.99)] * 1e3,
    }


def fetch(port, target):
    c = http.client.HTTPConnection("127.0.0.1", port)
    c.request("GET", target)
    r = c.getresponse()
    return r, r.read()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seconds", type=float, default=5)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--binary", default=os.path.join(ROOT, "target/release/wholeplate"))
    p.add_argument("--source", default=os.path.join(ROOT, "demo"))
    p.add_argument("--target", default=None, help="transformation URL; the default is the demo photo at a size of about 53 kB")
    p.add_argument("--flags", default="", help="more flags of the server, such as '--cache-dir /tmp/c'")
    a = p.parse_args()
    folder = tempfile.mkdtemp(prefix="cache-bench-")
    port, nginx_port = free_port(), free_port()
    server = subprocess.Popen(
        [a.binary, "serve", "--listen", f"127.0.0.1:{port}", "--origin", a.source, *a.flags.split()], stdout=subprocess.PIPE, text=True
    )
    server.stdout.readline()
    conf = os.path.join(folder, "nginx.conf")
    with open(conf, "w") as f:
        f.write(f"""
worker_processes auto; pid {folder}/pid; error_log {folder}/error.log; daemon off;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  open_file_cache max=1000;
  proxy_cache_path {folder}/cache keys_zone=z:10m max_size=1g;
  server {{ listen 127.0.0.1:{nginx_port}; location / {{ proxy_pass http://127.0.0.1:{port}; proxy_cache z; proxy_cache_valid 200 1h; proxy_ignore_headers Vary; }} }}
}}
""")
    nginx = subprocess.Popen(["nginx", "-c", conf, "-p", folder])
    try:
        time.sleep(0.5)
        target = a.target
        if target is None:
            photo = max((n for n in os.listdir(a.source) if n.endswith((".jpg", ".jpeg"))), key=lambda n: os.path.getsize(os.path.join(a.source, n)))
            sizes = {w: len(fetch(port, f"/cdn-cgi/image/width={w}/{photo}")[1]) for w in range(300, 1300, 50)}
            width = min(sizes, key=lambda w: abs(sizes[w] - 53_000))
            target = f"/cdn-cgi/image/width={width}/{photo}"
        for q in (port, nginx_port):
            fetch(q, target)
            r, body = fetch(q, target)
        print(f"{target}: {len(body)} bytes, {r.headers.get('cf-cache-status')}, {os.cpu_count()} cores")
        print(f"{'connections':>11} {'':10} {'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8}")
        for connections in (1, 4, 32):
            rows = {"wholeplate": [], "nginx": []}
            for _ in range(a.rounds):
                for name, q in (("wholeplate", port), ("nginx", nginx_port)):
                    rows[name].append(client_process(q, target, connections, a.seconds))
            for name, measured in rows.items():
                m = {k: statistics.median(r[k] for r in measured) for k in ("rps", "p50", "p99")}
                print(f"{connections:>11} {name:10} {m['rps']:>10.0f} {m['p50']:>8.3f} {m['p99']:>8.3f}")
    finally:
        for process in (nginx, server):
            process.send_signal(signal.SIGTERM)
            process.wait()


if __name__ == "__main__":
    main()
