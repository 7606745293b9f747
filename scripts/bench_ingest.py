"""What a publisher costs the server by protocol: the same encode by each, to HLS, without ladder and captions.

The second table's sound is Opus, as browsers send it, which the server makes into AAC, by WHIP and by Enhanced RTMP.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench_common import Server, cpu_seconds, heading, moving, table, verdict, wait

# So many publishers at a time, that what the server does for none of them weighs less.
PUBLISHERS = int(os.environ.get("PUBLISHERS_INGEST", "4"))
SECONDS = int(os.environ.get("SECONDS_INGEST", "20"))
ROUNDS = int(os.environ.get("ROUNDS_INGEST", "5"))
WARM_UP = 3.0
TARGET = 1.3
BITRATE = "2500k"
CLIENT = Path(__file__).with_name("bench_ingest_client.py")


@dataclass(frozen=True)
class Way:
    """A protocol and the sound it brings."""

    protocol: str
    sound: str

    def publish(self, server: Server, channel: str, film: Path) -> subprocess.Popen[bytes]:
        """A publisher that copies the film in real time."""
        rtmp = server.channel(channel)
        key = rtmp.partition("?key=")[2]
        to = {
            "rtmp": ["flv", rtmp],
            "srt": ["mpegts", f"{server.srt}?streamid=publish:{channel}:{key}"],
            "rtsp": ["rtsp", "-rtsp_transport", "tcp", f"rtsp://{channel}:{key}@{server.rtsp}/publish/{channel}"],
            "whip": ["whip", f"{server.http}/whip/{channel}", f"authorization={key}", f"cert_file={film.with_name('cert.pem')}",
                     f"key_file={film.with_name('key.pem')}"],
        }[self.protocol]
        if self.sound == "Opus":
            command = [sys.executable, CLIENT, film, *to]
        else:
            command = ["ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", film, "-c", "copy", "-f", *to]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL)


PASSED = [Way(protocol, "AAC") for protocol in ("rtmp", "srt", "rtsp")]
ENCODED = [Way(protocol, "Opus") for protocol in ("rtmp", "whip")]


def certificate(folder: Path) -> None:
    """One for WHIP's DTLS: FFmpeg with GnuTLS makes itself one on P-224, which WebRTC's other implementations refuse."""
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=encoder -keyout key.pem -out cert.pem"
    subprocess.run(make.split(), cwd=folder, check=True, capture_output=True)


def idle(server: Server) -> float:
    """Processor seconds a second with nobody there."""
    before, began = cpu_seconds(server.process.pid), time.monotonic()
    time.sleep(SECONDS)
    return (cpu_seconds(server.process.pid) - before) / (time.monotonic() - began)


def measure(server: Server, way: Way, turn: int, film: Path) -> float:
    """Processor seconds a second of all publishers together."""
    channels = [f"{way.protocol}-{way.sound.lower()}-{turn}-{nth}" for nth in range(PUBLISHERS)]
    with ExitStack() as stack:
        for channel in channels:
            publisher = way.publish(server, channel, film)
            stack.callback(publisher.wait)
            stack.callback(publisher.kill)
        for channel in channels:
            wait(f"the playlist of {channel}", lambda channel=channel: server.get(f"/live/{channel}/index.m3u8"))
        time.sleep(WARM_UP)
        spent = idle(server)
        for channel in channels:
            status = server.json(f"/api/v1/channels/{channel}/status")
            if status["state"] != "live" or status["protocol"] != way.protocol:
                sys.exit(f"{channel} is {status['state']} by {status['protocol']}")
    return spent


def compare(server: Server, ways: list[Way], film: Path, nobody: float) -> list[float]:
    """Measures in turns, another one first each time, so that all see the same machine; each way's share of a core."""
    spent: dict[Way, list[float]] = {way: [] for way in ways}
    for turn in range(ROUNDS):
        first = turn % len(ways)
        for way in ways[first:] + ways[:first]:
            spent[way].append((measure(server, way, turn, film) - nobody) / PUBLISHERS)
    medians = [statistics.median(values) for values in spent.values()]
    base, rows = medians[0], []
    for (way, values), median in zip(spent.items(), medians, strict=True):
        judged = verdict(median / base <= TARGET) if way != ways[0] else ""
        rows.append([f"{way.protocol}, {way.sound}", f"{median:.2%}", " / ".join(f"{value:.2%}" for value in values),
                     f"{median / base:.2f}×", judged])
    table(["publisher", "of a core, median", "each round", f"ratio to {ways[0].protocol}", f"≤ {TARGET}×"], rows)
    return medians


def main() -> None:
    """Prints the tables."""
    heading(f"A publisher to HLS, 720p30 at {BITRATE}bit/s: processor time of the server")
    settings = {"LADDER__ENABLED": "false", "CAPTIONS__ENABLED": "false", "RECORDING__ENABLED": "false", "RECONNECT_GRACE": "1s"}
    with tempfile.TemporaryDirectory() as scratch, Server(WEBRTC__LISTEN="0.0.0.0:0", **settings) as server:
        film = moving(Path(scratch), BITRATE)
        opus = film.with_suffix(".mkv")
        sound = ["-c:v", "copy", "-c:a", "libopus", "-ar", "48000", "-ac", "2", "-b:a", "96k"]
        subprocess.run(["ffmpeg", "-v", "error", "-i", film, *sound, opus], check=True)
        certificate(film.parent)
        nobody = idle(server)
        passed, encoded = compare(server, PASSED, film, nobody), compare(server, ENCODED, opus, nobody)
        print(f"WHIP with Opus costs {encoded[1] / passed[0]:.2f} times what RTMP with AAC does, of which Opus into AAC alone "
              f"{(encoded[0] - passed[0]) / passed[0]:.2f}. {PUBLISHERS} publishers at a time for {SECONDS} s, {ROUNDS} rounds in turns; each one's share, beyond the "
              f"{nobody:.2%} of a core that the server takes with nobody there. RTSP is over TCP.\n")


if __name__ == "__main__":
    main()
