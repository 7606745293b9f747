"""Glass to glass over WHEP, and what a viewer costs.

A clock is written into the encoder's picture as black and white squares and read by a page from the pictures that
Chromium shows. Encoder and player share this machine's clock. Encoder, server and player are in the figures; the 16 ms
and more that a camera and a screen add are not.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
from aiortc import RTCPeerConnection, RTCSessionDescription, rtcrtpreceiver
from bench_common import ROOT, Publisher, Server, centile, heading, moving, ms, table, verdict, wait

SECONDS = int(os.environ.get("SECONDS_WHEP", "30"))
VIEWERS = int(os.environ.get("VIEWERS_WHEP", "20"))
WARM_UP = 5.0
TARGET = 0.200
RATE = 30
BITS = 24
SQUARE = 40
ENCODER = (
    "-c:v libx264 -preset ultrafast -tune zerolatency -g 60 -bf 0 -pix_fmt yuv420p -b:v 2M"
    " -c:a aac -b:a 96k -flvflags no_duration_filesize"
)


class Clock:
    """An encoder whose pictures say when they were made; runs until it is left."""

    def __init__(self, url: str) -> None:
        self.stop = threading.Event()
        # Sound by the same clock: a source of ffmpeg's own begins late, and pictures wait for it.
        reader, writer = os.pipe()
        eager = ["-probesize", "32", "-fflags", "nobuffer"]
        self.ffmpeg = subprocess.Popen(
            ["ffmpeg", "-v", "error", *eager, "-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{BITS * SQUARE}x540", "-r", str(RATE),
             "-i", "pipe:0", *eager, "-f", "s16le", "-ar", "48000", "-ac", "1", "-i", f"pipe:{reader}",
             *ENCODER.split(), "-f", "flv", url],
            stdin=subprocess.PIPE, pass_fds=[reader],
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


def glass() -> None:
    rows = []

    def look(name: str, page: str, delay: str) -> None:
        lags = shown(page, delay)
        half = centile(lags, 0.5)
        judged = (f"≤ {ms(TARGET)}", verdict(half <= TARGET)) if delay == "direct" else ("", "")
        rows.append((name, len(lags), ms(half), ms(centile(lags, 0.95)), *judged))

    with Server(CAPTIONS__ENABLED="false", WEBRTC__LISTEN="0.0.0.0:0") as server:
        url = server.channel("glass")
        with Clock(url):
            wait("the live", lambda: server.get("/live/glass/index.m3u8") is not None)
            look("RTMP → WHEP", f"{server.http}/watch/glass", "direct")
            look("RTMP → LL-HLS", f"{server.http}/watch/glass", "relaxed")
        key = server.channel("browser").split("key=")[1]
        with BrowserClock(f"{server.http}/whip/browser", key):
            wait("the live", lambda: server.get("/live/browser/index.m3u8") is not None)
            look("WHIP → WHEP", f"{server.http}/watch/browser", "direct")
    heading("Glass to glass, 960×540 at 30 a second, in Chromium")
    table(("path", "pictures", "p50", "p95", "target", ""), rows)


async def watch(server: Server, count: int) -> float:
    """Processor seconds a second that `count` viewers cost together. They decrypt, and decode nothing."""
    rtcrtpreceiver.decoder_worker = lambda *_: None
    peers = []
    for _ in range(count):
        peer = RTCPeerConnection()
        for kind in ("video", "audio"):
            peer.addTransceiver(kind, direction="recvonly")
        await peer.setLocalDescription(await peer.createOffer())
        request = urllib.request.Request(
            f"{server.http}/whep/cost", peer.localDescription.sdp.encode(), {"Content-Type": "application/sdp"}
        )
        answer = await asyncio.to_thread(lambda request=request: urllib.request.urlopen(request).read().decode())
        await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        peers.append(peer)
    await asyncio.sleep(WARM_UP)
    assert all(peer.connectionState == "connected" for peer in peers), "not every viewer is connected"
    begun, before = time.monotonic(), server.usage()["amphi"][1]
    await asyncio.sleep(SECONDS)
    cost = (server.usage()["amphi"][1] - before) / (time.monotonic() - begun)
    await asyncio.gather(*(peer.close() for peer in peers))
    return cost


def cost() -> None:
    with Server(CAPTIONS__ENABLED="false", LADDER__ENABLED="false", WEBRTC__LISTEN="0.0.0.0:0") as server:
        url = server.channel("cost")
        with tempfile.TemporaryDirectory() as folder, Publisher(moving(Path(folder), "2M"), url, loop=True):
            wait("the live", lambda: server.get("/live/cost/index.m3u8") is not None)
            # One is there in both, so that what is made once for all is in neither.
            one, all_of_them = asyncio.run(watch(server, 1)), asyncio.run(watch(server, VIEWERS))
            bitrate = server.json("/api/v1/channels/cost/status")["bitrate"] or 0
    each = (all_of_them - one) / (VIEWERS - 1)
    heading(f"What a WHEP viewer costs, {bitrate / 1e6:.2f} Mbit/s as published")
    table(
        ("viewers", "of a core", "each further one", "viewers a core"),
        [(1, f"{one:.1%}", "", ""), (VIEWERS, f"{all_of_them:.1%}", f"{each:.2%}", round(1 / each))],
    )


if __name__ == "__main__":
    glass()
    cost()
