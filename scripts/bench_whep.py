"""Glass to glass over WHEP, and what a viewer costs, beside Janus.

A clock is written into the encoder's picture as black and white squares and read by a page from the pictures that
Chromium shows. Encoder and player share this machine's clock. Encoder, server and player are in the figures; the 16 ms
and more that a camera and a screen add are not.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from aiortc import RTCPeerConnection, RTCSessionDescription, rtcrtpreceiver
from bench_common import ROOT, Publisher, Server, centile, cpu_seconds, heading, moving, ms, table, verdict, wait
from bench_whep_peer import Janus

SECONDS = int(os.environ.get("SECONDS_WHEP", "30"))
VIEWERS = int(os.environ.get("VIEWERS_WHEP", "20"))
ROUNDS = int(os.environ.get("ROUNDS_WHEP", "2"))
WARM_UP = 5.0
TARGET = 0.200
RATE = 30
BITS = 24
SQUARE = 40
VIDEO = "-c:v libx264 -preset ultrafast -tune zerolatency -g 60 -bf 0 -pix_fmt yuv420p -b:v 2M"
RTMP = f"{VIDEO} -c:a aac -b:a 96k -flvflags no_duration_filesize -f flv"
OPUS = "-c:a libopus -ar 48000 -ac 2 -b:a 96k"
Join = Callable[[], Awaitable[RTCPeerConnection]]


class Clock:
    """An encoder whose pictures say when they were made; runs until it is left. Takes ffmpeg's outputs."""

    def __init__(self, *outputs: str) -> None:
        self.stop = threading.Event()
        # Sound by the same clock: a source of ffmpeg's own begins late, and pictures wait for it.
        reader, writer = os.pipe()
        eager = ["-probesize", "32", "-fflags", "nobuffer"]
        self.ffmpeg = subprocess.Popen(
            ["ffmpeg", "-v", "error", *eager, "-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{BITS * SQUARE}x540", "-r", str(RATE),
             "-i", "pipe:0", *eager, "-f", "s16le", "-ar", "48000", "-ac", "1", "-i", f"pipe:{reader}",
             *outputs],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=[reader],
        )
        os.close(reader)
        self.sound = os.fdopen(writer, "wb", buffering=0)
        self.thread = threading.Thread(target=self._draw)

    def _draw(self) -> None:
        begun = time.monotonic()
        nth = 0
        while not self.stop.wait(max(0.0, begun + nth / RATE - time.monotonic())):
            now = int(time.time() * 1000)
            squares = np.array([255 * (now >> bit & 1) for bit in range(BITS)], dtype=np.uint8).repeat(SQUARE)
            self.ffmpeg.stdin.write(np.broadcast_to(squares, (540, BITS * SQUARE)).tobytes())
            self.ffmpeg.stdin.flush()
            self.sound.write(bytes(2 * 48000 // RATE))
            nth += 1
        self.ffmpeg.stdin.close()
        self.sound.close()

    def __enter__(self) -> Clock:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()
        self.ffmpeg.terminate()
        self.ffmpeg.wait()


class BrowserClock:
    """The same clock, published over WHIP by another Chromium."""

    def __init__(self, endpoint: str, key: str) -> None:
        script = ROOT / "web" / "tests" / "clock.mjs"
        self.node = subprocess.Popen(
            ["node", script, endpoint, key, str(BITS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> BrowserClock:
        assert self.node.stdout.readline() == "connected\n", "WHIP did not connect"
        return self

    def __exit__(self, *_: object) -> None:
        self.node.stdin.close()
        self.node.wait()


def shown(url: str, delay: str) -> list[float]:
    """Seconds that each picture was under way until Chromium showed it."""
    script = ROOT / "web" / "tests" / "glass.mjs"
    page = subprocess.run(
        ["node", script, url, str(SECONDS), str(BITS), delay], stdout=subprocess.PIPE, text=True, check=True
    )
    lags = [json.loads(line) / 1000 for line in page.stdout.splitlines()]
    return lags[int(WARM_UP * RATE):]


def glass(janus: Janus | None) -> None:
    """The table of paths."""
    rows = []

    def look(name: str, page: str, delay: str) -> None:
        lags = shown(page, delay)
        half = centile(lags, 0.5)
        judged = (f"≤ {ms(TARGET)}", verdict(half <= TARGET)) if delay == "direct" else ("", "")
        rows.append((name, len(lags), ms(half), ms(centile(lags, 0.95)), *judged))

    with Server(CAPTIONS__ENABLED="false", WEBRTC__LISTEN="0.0.0.0:0") as server:
        url = server.channel("glass")
        with Clock(*RTMP.split(), url):
            wait("the live", lambda: server.get("/live/glass/index.m3u8") is not None)
            look("RTMP → WHEP", f"{server.http}/watch/glass", "direct")
            look("RTMP → LL-HLS", f"{server.http}/watch/glass", "relaxed")
        key = server.channel("browser").split("key=")[1]
        with BrowserClock(f"{server.http}/whip/browser", key):
            wait("the live", lambda: server.get("/live/browser/index.m3u8") is not None)
            look("WHIP → WHEP", f"{server.http}/watch/browser", "direct")
    if janus:
        with Clock(*janus.outputs(VIDEO, OPUS)):
            look("RTP → Janus → WebRTC", janus.page(), "")
    heading("Glass to glass, 960×540 at 30 a second, in Chromium")
    table(("path", "pictures", "p50", "p95", "target", ""), rows)
    if janus:
        print("To Janus ffmpeg sends pictures and sound apart; in RTMP's one stream a picture waits for the sound before it.\n")


@dataclass
class Cost:
    """What so many viewers took for a while."""

    # Processor seconds a second, of the server's process.
    cpu: float
    # Packets a second that reached a viewer, and the share of those sent that did not.
    packets: float
    lost: float


async def watch(pid: int, join: Join, count: int) -> Cost:
    """So many viewers at once. They decrypt, and decode nothing."""
    peers = [await join() for _ in range(count)]
    await asyncio.sleep(WARM_UP)
    assert all(peer.connectionState == "connected" for peer in peers), "not every viewer is connected"
    (came, missed), begun, before = await received(peers), time.monotonic(), cpu_seconds(pid)
    await asyncio.sleep(SECONDS)
    spent, lasted = cpu_seconds(pid) - before, time.monotonic() - begun
    came, missed = (after - so_far for after, so_far in zip(await received(peers), (came, missed), strict=True))
    await asyncio.gather(*(peer.close() for peer in peers))
    return Cost(spent / lasted, came / lasted / count, missed / (came + missed))


async def received(peers: Sequence[RTCPeerConnection]) -> tuple[int, int]:
    """Packets that came and that did not, of all viewers so far."""
    reports = [await receiver.getStats() for peer in peers for receiver in peer.getReceivers()]
    streams = [one for report in reports for one in report.values() if one.type == "inbound-rtp"]
    return sum(one.packetsReceived for one in streams), sum(one.packetsLost for one in streams)


def whep(server: Server) -> Join:
    """What makes a viewer of ours connect."""

    async def join() -> RTCPeerConnection:
        peer = RTCPeerConnection()
        for kind in ("video", "audio"):
            peer.addTransceiver(kind, direction="recvonly")
        await peer.setLocalDescription(await peer.createOffer())
        request = urllib.request.Request(
            f"{server.http}/whep/cost", peer.localDescription.sdp.encode(), {"Content-Type": "application/sdp"}
        )
        answer = await asyncio.to_thread(lambda: urllib.request.urlopen(request).read().decode())
        await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        return peer

    return join


async def measure(server: Server, janus: Janus | None) -> dict[str, dict[int, list[Cost]]]:
    """One viewer and many, of each server in turns."""
    costs: dict[str, dict[int, list[Cost]]] = {}
    for _ in range(ROUNDS):
        # One is there in both, so that what is made once for all is in neither.
        for count in (1, VIEWERS):
            costs.setdefault("ours", {}).setdefault(count, []).append(await watch(server.process.pid, whep(server), count))
            if janus:
                async with janus.session() as join:
                    costs.setdefault("Janus 1.1.2", {}).setdefault(count, []).append(await watch(janus.process.pid, join, count))
    return costs


def cost(janus: Janus | None) -> None:
    """The table of viewers."""
    rtcrtpreceiver.decoder_worker = lambda *_: None
    with ExitStack() as stack:
        server = stack.enter_context(Server(CAPTIONS__ENABLED="false", LADDER__ENABLED="false", WEBRTC__LISTEN="0.0.0.0:0"))
        film = moving(Path(stack.enter_context(tempfile.TemporaryDirectory())), "2M")
        stack.enter_context(Publisher(film, server.channel("cost"), loop=True))
        if janus:
            # Ready to be sent: ffmpeg's filters end with the film's first turn.
            ready = film.with_suffix(".ts")
            subprocess.run(["ffmpeg", "-v", "error", "-i", film, "-c:v", "copy", *OPUS.split(), ready], check=True)
            feed = subprocess.Popen(["ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", ready, *janus.outputs("-c:v copy", "-c:a copy")],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            stack.callback(feed.wait)
            stack.callback(feed.kill)
        wait("the live", lambda: server.get("/live/cost/index.m3u8") is not None)
        costs = asyncio.run(measure(server, janus))
        bitrate = server.json("/api/v1/channels/cost/status")["bitrate"] or 0
    heading(f"What a viewer over WebRTC costs, {bitrate / 1e6:.2f} Mbit/s as published")
    rows, base = [], None
    for name, counts in reversed(costs.items()):
        whole = {count: statistics.mean(one.cpu for one in rounds) for count, rounds in counts.items()}
        further = (whole[VIEWERS] - whole[1]) / (VIEWERS - 1)
        base = base or further
        for count, rounds in counts.items():
            each = f"{further:.2%}", f"{1 / further:.0f}", f"{further / base:.2f}×" if janus else ""
            rows.append((name, count, f"{whole[count]:.1%}", " / ".join(f"{one.cpu:.1%}" for one in rounds),
                         f"{statistics.mean(one.packets for one in rounds):.0f}", f"{max(one.lost for one in rounds):.2%}",
                         *(each if count > 1 else ("", "", ""))))
    table(("server", "viewers", "of a core, mean", "each round", "packets a second to each", "lost, at most",
           "each further viewer", "viewers a core", "ratio"), rows)


def main() -> None:
    """Prints the tables; without the peer where it cannot be had."""
    with ExitStack() as stack:
        janus = None
        try:
            janus = stack.enter_context(Janus())
        except OSError as error:
            print(f"No peer: {error}.\n")
        glass(janus)
        cost(janus)


if __name__ == "__main__":
    main()
