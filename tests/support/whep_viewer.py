"""Watches a live over WHEP with aiortc, an implementation of WebRTC that shares nothing with the server's.

usage: whep_viewer.py URL SECONDS

Prints one JSON object: the answer's status, the pictures and samples decoded, when flashes were seen and beeps heard on
the clock that sender reports give both, and how long after the first packet the first picture came.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import urllib.error
import urllib.request

import numpy as np
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

WHITE = 180
LOUD = 3000


def post(url: str, offer: str) -> tuple[int, str, str]:
    request = urllib.request.Request(url, offer.encode(), {"Content-Type": "application/sdp"}, method="POST")
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers["Location"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, "", error.read().decode()


async def pictures(track, seen: dict) -> None:
    """Counts pictures; a flash is a picture that is white where the one before was not."""
    white = False
    while True:
        try:
            frame = await track.recv()
        except MediaStreamError:
            return
        seen["sizes"].add((frame.width, frame.height))
        seen["frames"] += 1
        seen.setdefault("first", time.monotonic())
        seen["stamps"].append(frame.pts)
        bright = frame.to_ndarray(format="gray").mean() > WHITE
        if bright and not white:
            seen["flashes"].append(frame.pts * float(frame.time_base))
        white = bright


async def sounds(track, heard: dict) -> None:
    """Counts samples; a beep is the first loud one behind 200 ms of silence."""
    quiet = 0
    while True:
        try:
            frame = await track.recv()
        except MediaStreamError:
            return
        samples = np.abs(frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0].astype(int))
        heard["samples"] += len(samples)
        at = frame.pts * float(frame.time_base)
        for nth, sample in enumerate(samples):
            if sample < LOUD:
                quiet += 1
                continue
            if quiet > 0.2 * frame.sample_rate:
                heard["beeps"].append(at + nth / frame.sample_rate)
            quiet = 0


async def main(url: str, seconds: float) -> None:
    peer = RTCPeerConnection()
    for kind in ("video", "audio"):
        peer.addTransceiver(kind, direction="recvonly")
    seen = {"frames": 0, "flashes": [], "sizes": set(), "stamps": []}
    heard = {"samples": 0, "beeps": []}
    tasks = []

    @peer.on("track")
    def on_track(track):
        tasks.append(asyncio.ensure_future(pictures(track, seen) if track.kind == "video" else sounds(track, heard)))

    await peer.setLocalDescription(await peer.createOffer())
    begun = time.monotonic()
    status, location, answer = await asyncio.to_thread(post, url, peer.localDescription.sdp)
    result: dict = {"status": status}
    if status == 201:
        await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await asyncio.sleep(seconds)
        clocks = {}
        for receiver in peer.getReceivers():
            report = await receiver.getStats()
            for stats in report.values():
                if stats.type == "inbound-rtp":
                    clocks[stats.kind] = stats.packetsLost
        resource = urllib.request.Request("/".join(url.split("/")[:3]) + location, method="DELETE")
        result["deleted"] = urllib.request.urlopen(resource).status
        result |= {
            "frames": seen["frames"],
            "sizes": sorted(seen["sizes"]),
            "rising": all(a < b for a, b in zip(seen["stamps"], seen["stamps"][1:], strict=False)),
            "first_picture": seen.get("first", float("inf")) - begun,
            "samples": heard["samples"],
            "flashes": seen["flashes"],
            "beeps": heard["beeps"],
            "lost": clocks,
        }
    print(json.dumps(result))
    await peer.close()


asyncio.run(main(sys.argv[1], float(sys.argv[2])))
