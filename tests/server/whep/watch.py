"""Watches a live over WHEP with aiortc until standard input ends, then DELETEs its session.

usage: watch.py URL [PORT]
PORT is where media comes from instead of from the port that the server names: a proxy's.
Prints "answered STATUS", then every half second a JSON object: pictures and samples decoded, their size, how often a
picture was decoded behind a later one and how often a packet was stamped before the one numbered before it, and when on
the wall clock of sender reports flashes were seen and beeps heard; at the end "deleted STATUS".
"""

import asyncio
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpreceiver import RTCRtpReceiver
from aiortc.rtp import RtcpSrPacket

WHITE = 160
LOUD = 3000
CLOCK = {"video": 90_000, "audio": 48_000}

reports = {}
"""By SSRC: wall clock minus RTP time, in seconds."""
frames = {"frames": 0, "samples": 0, "size": None, "backwards": 0, "shuffled": 0, "flashes": [], "beeps": []}
stamps = {}
"""RTP time of each packet of the pictures, by sequence number counted on beyond 16 bits, the newest of which is:"""
newest = [None]
handle = RTCRtpReceiver._handle_rtcp_packet
take = RTCRtpReceiver._handle_rtp_packet


async def reported(receiver, packet):
    """Keeps what sender reports say of the clocks: aiortc itself does not put its tracks in step."""
    if isinstance(packet, RtcpSrPacket):
        clock = CLOCK[receiver._RTCRtpReceiver__kind]
        reports[clock] = packet.sender_info.ntp_timestamp / 2**32 - packet.sender_info.rtp_timestamp / clock
    await handle(receiver, packet)


async def arrived(receiver, packet, **arguments):
    """Keeps what the server numbered and stamped, whatever aiortc makes of it. Packets sent again have numbers of
    their own and are left out."""
    codec = receiver._RTCRtpReceiver__codecs.get(packet.payload_type)
    if codec and codec.mimeType == "video/H264":
        last = packet.sequence_number if newest[0] is None else newest[0]
        number = last + (packet.sequence_number - last + 2**15) % 2**16 - 2**15
        stamps[number], newest[0] = packet.timestamp, max(last, number)
    await take(receiver, packet, **arguments)


RTCRtpReceiver._handle_rtcp_packet = reported
RTCRtpReceiver._handle_rtp_packet = arrived


def say(*words):
    print(*words, flush=True)


def request(method, url, body=None):
    kind = {"Content-Type": "application/sdp"} if body else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, kind, method=method)) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def rtp_time(receiver, frame):
    """Seconds of the stream's RTP clock, which aiortc counts from its first packet."""
    origin = receiver._RTCRtpReceiver__timestamp_mapper._origin
    return (origin + frame.pts) * float(frame.time_base)


async def pictures(receiver):
    white, last = True, -1.0
    while True:
        frame = await receiver.track.recv()
        at = rtp_time(receiver, frame)
        frames["frames"] += 1
        frames["size"] = [frame.width, frame.height]
        frames["backwards"] += at <= last
        last = at
        bright = frame.to_ndarray(format="gray").mean() > WHITE
        if bright and not white:
            frames["flashes"].append(at)
        white = bright


async def sounds(receiver):
    quiet = 0
    while True:
        frame = await receiver.track.recv()
        at = rtp_time(receiver, frame)
        samples = np.abs(frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0].astype(int))
        frames["samples"] += len(samples)
        for nth, sample in enumerate(samples):
            if sample < LOUD:
                quiet += 1
                continue
            if quiet > 0.2 * frame.sample_rate:
                frames["beeps"].append(at + nth / frame.sample_rate)
            quiet = 0


async def until_over(work):
    try:
        await work
    except MediaStreamError:
        pass


async def tell():
    while True:
        await asyncio.sleep(0.5)
        wall = {
            name: [at + reports[clock] for at in frames[name]] if clock in reports else []
            for name, clock in (("flashes", 90_000), ("beeps", 48_000))
        }
        times = [stamps[number] for number in sorted(stamps)]
        frames["shuffled"] = sum(later < earlier for earlier, later in zip(times, times[1:]))
        say(json.dumps(frames | wall))


async def main(url, port=None):
    connection = RTCPeerConnection()
    video = connection.addTransceiver("video", "recvonly").receiver
    audio = connection.addTransceiver("audio", "recvonly").receiver
    await connection.setLocalDescription(await connection.createOffer())
    offer = connection.localDescription.sdp.encode()
    status, headers, answer = await asyncio.to_thread(request, "POST", url, offer)
    say("answered", status)
    if status != 201:
        say(answer)
        return
    if port:
        answer = re.sub(r"(a=candidate:\S+ 1 udp \d+ \S+) \d+", rf"\1 {port}", answer)
    await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    tasks = [asyncio.create_task(until_over(work)) for work in (pictures(video), sounds(audio))]
    tasks.append(asyncio.create_task(tell()))
    await asyncio.to_thread(sys.stdin.read)
    status, _, _ = await asyncio.to_thread(request, "DELETE", urllib.parse.urljoin(url, headers["Location"]))
    say("deleted", status)
    for task in tasks:
        task.cancel()
    await connection.close()


asyncio.run(main(*sys.argv[1:]))
