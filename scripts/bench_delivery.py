"""What a request costs that can be answered at once, beside nginx with the same bytes as files; how long a start takes, and what a server holds that does nothing."""

from __future__ import annotations

import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_common import PAGE, Publisher, Server, cpu_seconds, debian, heading, moving, table, wait
from bench_peer import family, listens

SECONDS = int(os.environ.get("SECONDS_DELIVERY", "6"))
CONNECTIONS = (1, 100, 1_000, 5_000)
STARTS = 7
IDLE = 5.0

CONFIGURATION = """
daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {home}/pid;
error_log {home}/error.log;
events {{ worker_connections 10000; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    open_file_cache max=100;
    client_body_temp_path {home}/a;
    proxy_temp_path {home}/b;
    fastcgi_temp_path {home}/c;
    uwsgi_temp_path {home}/d;
    scgi_temp_path {home}/e;
    server {{ listen 127.0.0.1:{port} backlog=8192; root {home}/files; }}
}}
"""


def starts() -> None:
    """Prints how long it takes to be ready, and what is held then."""
    heading(f"{STARTS} starts, and memory after {IDLE:.0f} s without a live")
    rows = []
    for what, captions in (("without captions", "false"), ("ready to caption, no engine started", "true")):
        times, held = [], 0.0
        for nth in range(STARTS):
            began = time.monotonic()
            with Server(CAPTIONS__ENABLED=captions) as server:
                times.append(time.monotonic() - began)
                if nth == STARTS - 1:
                    time.sleep(IDLE)
                    held = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * PAGE / 2**20
        rows.append((what, f"{statistics.median(times):.2f} s", f"{held:.0f} MiB"))
    table(["server", "start to readyz, median, looked for every 50 ms", "resident"], rows)


def load(wrk: Path, connections: int, url: str, pids: list[int]) -> tuple[float, float]:
    """Answers a second, and answers for each second of processor that these processes spent."""
    for pid in pids:
        subprocess.run(["taskset", "-a", "-c", "-p", "0", str(pid)], check=True, stdout=subprocess.DEVNULL)
    environment = os.environ | {"LD_LIBRARY_PATH": ":".join(map(str, wrk.parent.parent.glob("lib/*-linux-gnu")))}
    command = ["taskset", "-c", "1", wrk, "-t1", f"-c{connections}", f"-d{SECONDS}s", "--timeout", "20s", url]
    before, began = sum(map(cpu_seconds, pids)), time.monotonic()
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    took, spent = time.monotonic() - began, sum(map(cpu_seconds, pids)) - before
    refused = re.search(r"Non-2xx.*|Socket errors.*", said)
    if refused:
        print(f"{url} at {connections}: {refused[0]}", file=sys.stderr)
    answers = int(re.search(r"(\d+) requests in", said)[1])
    return answers / took, answers / spent


def requests(wrk: Path, nginx: Path) -> None:
    """Prints the table of requests."""
    heading(f"Requests over {SECONDS} s that can be answered at once, server on one core and wrk on the other")
    with tempfile.TemporaryDirectory(prefix="amphi-bench-") as scratch:
        home, port = Path(scratch), 18_093
        (home / "files").mkdir()
        (home / "nginx.conf").write_text(CONFIGURATION.format(home=home, port=port))
        film = moving(home, "1500k")
        peer = subprocess.Popen([nginx / "usr/sbin/nginx", "-p", home, "-c", home / "nginx.conf", "-e", home / "error.log"])
        settings = {"CAPTIONS__ENABLED": "false", "LADDER__ENABLED": "false", "RECORDING__ENABLED": "false"}
        try:
            wait("nginx to listen", lambda: listens(port))
            with Server(**settings) as server, Publisher(film, server.channel("peer"), loop=True):
                path = "/live/peer/source/stream.m3u8"
                wait("some parts", lambda: (server.get(path) or "").count("#EXT-X-PART:") > 8)
                rows = []
                for connections in CONNECTIONS:
                    for what in ("playlist", "part"):
                        parts = re.findall(r'#EXT-X-PART:.*?URI="([^"]+)"', server.get(path))
                        url = server.http + (path if what == "playlist" else parts[-1])
                        # nginx remembers what a name was opened to.
                        file = home / "files" / f"{what}{connections}"
                        subprocess.run(["curl", "-sf", "-o", file, url], check=True)
                        ours = load(wrk, connections, url, [server.process.pid])
                        theirs = load(wrk, connections, f"http://127.0.0.1:{port}/{file.name}", family(peer.pid))
                        rows.append((what, f"{file.stat().st_size:,}", f"{connections:,}", f"{ours[0]:,.0f}", f"{theirs[0]:,.0f}",
                                     f"{ours[1]:,.0f}", f"{theirs[1]:,.0f}", f"{ours[1] / theirs[1]:.2f}×"))
        finally:
            peer.terminate()
            peer.wait(20)
    table(["what", "bytes", "connections", "ours a second", "nginx", "ours for each second of processor", "nginx", "ratio"], rows)


def main() -> None:
    """Prints the tables."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    starts()
    wrk, nginx = debian("wrk", "wrk"), debian("nginx", "nginx", "libnginx-mod-rtmp")
    if wrk and nginx:
        requests(wrk / "usr/bin/wrk", nginx)
    else:
        print("No peer: `apt-get download wrk nginx` did not work here.\n")


if __name__ == "__main__":
    main()
