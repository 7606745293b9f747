"""What a passed-through publisher costs beside nginx-rtmp, as Debian packages it: CPU for each."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench_common import PAGE, TICKS, Publisher, Server, debian, heading, moving, stat, table, wait

CROWDS = (1, 10, 50)
SECONDS = int(os.environ.get("SECONDS_PEER", "40"))
WARM_UP = 10.0
PACKAGES = ("nginx", "libnginx-mod-rtmp")

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
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        file = Path(home) / "nginx.conf"
        file.write_text(CONFIGURATION.format(home=home, modules=place / "usr/lib/nginx/modules", port=port))
        process = subprocess.Popen([place / "usr/sbin/nginx", "-p", home, "-c", file, "-e", f"{home}/error.log"])
        try:
            wait("nginx to listen", lambda: listens(port))
            yield process.pid, f"rtmp://127.0.0.1:{port}/live", Path(home) / "hls"
        finally:
            process.terminate()
            process.wait(20)


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


def cost(pid: int, urls: list[str], film: Path) -> tuple[float, float]:
    """CPU of one core and resident MiB while everybody publishes."""
    with ExitStack() as publishers:
        for url in urls:
            publishers.enter_context(Publisher(film, url, loop=True))
        time.sleep(WARM_UP)
        before, began = cpu(pid), time.monotonic()
        time.sleep(SECONDS)
        spent = (cpu(pid) - before) / (time.monotonic() - began)
        pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in family(pid))
        return spent, pages * PAGE / 2**20


def cpu(pid: int) -> float:
    """CPU seconds of a process and its children so far."""
    return sum(int(ticks) for one in family(pid) for ticks in stat(one)[11:13]) / TICKS


def main() -> None:
    """Prints the table."""
    heading(f"Passing publishers of 1.5 Mbit/s through over {SECONDS} s, beside Debian's nginx with libnginx-mod-rtmp")
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
