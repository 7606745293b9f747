"""What a passed-through publisher costs beside nginx-rtmp, as Debian packages it, and multimux: CPU for each."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from bench_common import PAGE, TICKS, Publisher, Server, debian, heading, moving, stat, table, wait

CROWDS = (1, 10, 50)
SECONDS = int(os.environ.get("SECONDS_PEER", "40"))
WARM_UP = 10.0
PACKAGES = ("nginx", "libnginx-mod-rtmp")
MULTIMUX = "0.12.0"

CONFIGURATION = """
daemon off;
user root;
worker_processes 1;
pid {home}/pid;
error_log {home}/error.log;
load_module {modules}/ngx_rtmp_module.so;
events {{ worker_connections 1024; }}
rtmp {{
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        chunk_size 4096;
        application live {{
            live on;
            hls on;
            hls_path {home}/hls;
            hls_fragment 2s;
            hls_playlist_length 60s;
        }}
    }}
}}
"""


@contextlib.contextmanager
def nginx(place: Path) -> Iterator[tuple[int, str, Path]]:
    """A running nginx: its process id, where to publish, and where its playlists are."""
    with tempfile.TemporaryDirectory(prefix="amphi-bench-") as home:
        port = free_port()
        file = Path(home) / "nginx.conf"
        file.write_text(CONFIGURATION.format(home=home, modules=place / "usr/lib/nginx/modules", port=port))
        process = subprocess.Popen([place / "usr/sbin/nginx", "-p", home, "-c", file, "-e", f"{home}/error.log"])
        try:
            wait("nginx to listen", lambda: listens(port))
            yield process.pid, f"rtmp://127.0.0.1:{port}/live", Path(home) / "hls"
        finally:
            process.terminate()
            process.wait(20)


def multimux_program() -> str | None:
    """The program; built from the registry where it is not there, which takes some ten minutes once."""
    tools = Path(os.environ["AMPHI_CACHE"]) / "tools"
    found = shutil.which("multimux", path=f"{tools / 'bin'}:{os.environ['PATH']}")
    if found:
        return found
    # Without its lock file, which names versions that mirrors of the registry may lack.
    command = ["cargo", "install", "--quiet", "multimux-cli", "--version", MULTIMUX, "--root", tools, "--target-dir", tools / "target"]
    built = subprocess.run(command, env=os.environ | {"LIBRARY_PATH": ""}).returncode == 0
    shutil.rmtree(tools / "target", ignore_errors=True)
    return str(tools / "bin" / "multimux") if built else None


@contextlib.contextmanager
def multimux(names: list[str]) -> Iterator[tuple[int, list[str], str]]:
    """A running multimux: its process id, where to publish each, and the address of its HTTP."""
    with tempfile.TemporaryDirectory(prefix="amphi-bench-") as home:
        http, ports = f"127.0.0.1:{free_port()}", [free_port() for _ in names]
        routes = [{"name": name, "input": {"type": "rtmp", "listen": f"127.0.0.1:{port}", "app": "live"}, "outputs": ["llhls"]}
                  for name, port in zip(names, ports, strict=True)]
        file = Path(home) / "routes.json"
        file.write_text(json.dumps({"bind": http, "routes": routes}))
        with (Path(home) / "log").open("w") as log:
            process = subprocess.Popen([multimux_program(), "--config", file], stdout=log, stderr=log)
        try:
            wait("multimux to listen", lambda: listens(ports[-1]) and listens(int(http.partition(":")[2])))
            yield process.pid, [f"rtmp://127.0.0.1:{port}/live/{name}" for name, port in zip(names, ports, strict=True)], http
        finally:
            process.terminate()
            process.wait(20)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def listens(port: int) -> bool:
    """Whether somebody listens."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def family(pid: int) -> list[int]:
    """A process and its children."""
    found = [pid]
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            if int(stat(int(entry.name))[1]) == pid:
                found.append(int(entry.name))
    return found


def check(http: str, names: list[str]) -> None:
    """That multimux serves everybody."""
    for name in names:
        with urllib.request.urlopen(f"http://{http}/{name}/media.m3u8", timeout=20) as answer:
            if b"#EXT-X-PART:" not in answer.read():
                sys.exit(f"multimux has no parts of {name}")


def cost(pid: int, urls: list[str], film: Path, check: Callable[[], None] = lambda: None) -> tuple[float, float]:
    """CPU of one core and resident MiB while everybody publishes; `check` looks whether they are served, afterwards."""
    with ExitStack() as publishers:
        for url in urls:
            publishers.enter_context(Publisher(film, url, loop=True))
        time.sleep(WARM_UP)
        before, began = cpu(pid), time.monotonic()
        time.sleep(SECONDS)
        spent = (cpu(pid) - before) / (time.monotonic() - began)
        check()
        pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in family(pid))
        return spent, pages * PAGE / 2**20


def cpu(pid: int) -> float:
    """CPU seconds of a process and its children so far."""
    return sum(int(ticks) for one in family(pid) for ticks in stat(one)[11:13]) / TICKS


def main() -> None:
    """Prints the table."""
    heading(f"Passing publishers of 1.5 Mbit/s through over {SECONDS} s, beside Debian's nginx with libnginx-mod-rtmp and multimux {MULTIMUX}")
    place = debian("nginx", *PACKAGES)
    rows: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        film = moving(Path(scratch), "1500k")
        crowds = [[f"peer{crowd}-{n}" for n in range(crowd)] for crowd in CROWDS]
        if place:
            costs = rows["nginx-rtmp, HLS written to disk"] = []
            for names in crowds:
                with nginx(place) as (pid, base, playlists):
                    costs.append(cost(pid, [f"{base}/{name}" for name in names], film))
                    if len(list(playlists.glob("*.m3u8"))) != len(names):
                        sys.exit("nginx has not made a playlist for every publisher")
        if multimux_program():
            costs = rows["multimux, low-latency HLS"] = []
            for names in crowds:
                with multimux(names) as (pid, urls, http):
                    costs.append(cost(pid, urls, film, lambda http=http, names=names: check(http, names)))
        for what, recording in (("recording off", "false"), ("recording on", "true")):
            costs = rows[f"ours, low-latency HLS, {what}"] = []
            for names in crowds:
                # A live that has ended lingers: each crowd has a server of its own.
                with Server(CAPTIONS__ENABLED="false", LADDER__ENABLED="false", RECORDING__ENABLED=recording) as server:
                    costs.append(cost(server.process.pid, [server.channel(name) for name in names], film))
    peer = next(iter(rows.values()))
    cells = [
        (what, str(crowd), f"{spent / crowd:.2%}", f"{mib:.0f} MiB", f"{spent / base:.2f}×" if place else "")
        for what, costs in rows.items()
        for crowd, (spent, mib), (base, _) in zip(CROWDS, costs, peer, strict=True)
    ]
    table(["server", "publishers", "CPU of one core for each", "resident in all", "ratio"], cells)
    if not place:
        print(f"No peer: `apt-get download {' '.join(PACKAGES)}` did not work here.\n")


if __name__ == "__main__":
    main()
