"""What a publisher costs the server by protocol: the same encode by RTMP and by SRT, to HLS, without ladder and captions."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_common import Server, heading, moving, table, verdict, wait

SECONDS = 30
ROUNDS = 3
TARGET = 1.3
BITRATE = "2500k"


def url(server: Server, protocol: str, channel: str) -> list[str]:
    """Where ffmpeg publishes to, and in which container."""
    rtmp = server.channel(channel)
    if protocol == "rtmp":
        return ["-f", "flv", rtmp]
    key = rtmp.partition("?key=")[2]
    return ["-f", "mpegts", f"{server.srt}?streamid=publish:{channel}:{key}"]


def cpu(server: Server) -> float:
    """Seconds of user and system time of the whole server process."""
    return server.usage()["amphi"][1]


def idle(server: Server) -> float:
    """CPU seconds that the server takes in as long a time with nobody there."""
    before = cpu(server)
    time.sleep(SECONDS)
    return cpu(server) - before


def measure(server: Server, protocol: str, channel: str, file: Path) -> float:
    """CPU seconds for one publisher."""
    command = ["ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", file, "-c", "copy", *url(server, protocol, channel)]
    publisher = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        wait("the playlist", lambda: server.get(f"/live/{channel}/index.m3u8"))
        before = cpu(server)
        time.sleep(SECONDS)
        spent = cpu(server) - before
    finally:
        publisher.kill()
        publisher.wait()
    if server.json(f"/api/v1/channels/{channel}/status")["protocol"] != protocol:
        sys.exit(f"{channel} did not come by {protocol}")
    return spent


def main() -> None:
    """Measures in turns, so that both see the same machine."""
    heading(f"One publisher to HLS, 720p30 at {BITRATE}bit/s: CPU of the server process")
    protocols = ["rtmp", "srt"]
    settings = {"LADDER__ENABLED": "false", "CAPTIONS__ENABLED": "false", "RECORDING__ENABLED": "false", "RECONNECT_GRACE": "1s"}
    with tempfile.TemporaryDirectory() as folder, Server(**settings) as server:
        file = moving(Path(folder), BITRATE)
        spent: dict[str, list[float]] = {protocol: [] for protocol in protocols}
        nobody = idle(server)
        for turn in range(ROUNDS):
            for protocol in protocols:
                spent[protocol].append(measure(server, protocol, f"{protocol}-{turn}", file))
        medians = {protocol: statistics.median(values) for protocol, values in spent.items()}
        rows = []
        for protocol, values in spent.items():
            ratio = medians[protocol] / medians["rtmp"]
            each = " / ".join(f"{value / SECONDS:.2%}" for value in values)
            rows.append([protocol, f"{medians[protocol] / SECONDS:.2%}", each, f"{ratio:.2f}", verdict(ratio <= TARGET)])
        table(["protocol", "of a core, median", "each", "ratio to RTMP", f"≤ {TARGET}"], rows)
        print(f"With nobody there the server takes {nobody / SECONDS:.2%} of a core.")


if __name__ == "__main__":
    main()
