"""Publishes over WHIP with aiortc until standard input ends, then DELETEs its session.

usage: publish.py URL KEY CODEC SOURCE [PORT [PATTERN REPLACEMENT]...]
CODEC is H264 or VP8; SOURCE is a file with picture and sound. PORT is where media goes instead of to the port that
the server names: a proxy's, or 0. PATTERN and REPLACEMENT change the offer (re.sub). A line "source" on
standard input has the pictures come from another source, a line "asked" has it print "asked TIMES": how often that
packet of them was asked for that was asked for most. Prints "answered STATUS", "resource URL", "connected",
"deleted STATUS" and "gone".
"""

import asyncio
import collections
import contextvars
import re
import sys
import types
import urllib.error
import urllib.parse
import urllib.request
from datetime import timedelta

from aiortc import RTCPeerConnection, RTCRtpSender, RTCSessionDescription, clock, rtcrtpsender
from aiortc.contrib.media import MediaPlayer

# When the frame was captured that a sender's task sends.
captured = contextvars.ContextVar("captured")


def say(*words):
    print(*words, flush=True)


def request(method, url, key, body=None, kind=None):
    headers = {"Authorization": f"Bearer {key}"} | ({"Content-Type": kind} if kind else {})
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method)) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def stamp_when_captured(tracks):
    """Has sender reports say when frames were captured, by one clock for all tracks, as browsers' do. aiortc's say when a
    frame has been encoded and sent, and each track's own clock starts with its first frame: on a busy machine that puts
    picture and sound apart.
    """
    begun = []

    def wrap(receive):
        async def recv():
            frame = await receive()
            place = timedelta(seconds=frame.time)
            begun or begun.append(clock.current_datetime() - place)
            captured.set(clock.datetime_to_ntp(begun[0] + place))
            return frame

        return recv

    for track in tracks:
        track.recv = wrap(track.recv)
    current = {"current_ntp_time": lambda: captured.get(None) or clock.current_ntp_time()}
    rtcrtpsender.clock = types.SimpleNamespace(**vars(clock) | current)


def count_requests(sender):
    """How often each packet that was lost has been asked for, by its number."""
    asked, retransmit = collections.Counter(), sender._retransmit

    async def counted(number):
        asked[number] += 1
        await retransmit(number)

    sender._retransmit = counted
    return asked


async def told(sender, asked):
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.strip() == "source":
            sender._ssrc += 1
        else:
            say("asked", max(asked.values(), default=0))


async def main(url, key, codec, source, port="0", *changes):
    connection = RTCPeerConnection()
    player = MediaPlayer(source)
    stamp_when_captured((player.audio, player.video))
    connection.addTransceiver(player.audio, "sendonly")
    transceiver = connection.addTransceiver(player.video, "sendonly")
    asked = count_requests(transceiver.sender)
    codecs = RTCRtpSender.getCapabilities("video").codecs
    transceiver.setCodecPreferences([c for c in codecs if c.mimeType in (f"video/{codec}", "video/rtx")])

    @connection.on("connectionstatechange")
    def changed():
        state = connection.connectionState
        say({"closed": "gone", "failed": "gone"}.get(state, state))

    await connection.setLocalDescription(await connection.createOffer())
    offer = connection.localDescription.sdp
    for pattern, replacement in zip(changes[::2], changes[1::2]):
        offer = re.sub(pattern, replacement, offer)
    status, headers, answer = await asyncio.to_thread(request, "POST", url, key, offer.encode(), "application/sdp")
    say("answered", status)
    if status != 201:
        say(answer)
        return
    resource = urllib.parse.urljoin(url, headers["Location"])
    say("resource", resource)
    if port != "0":
        answer = re.sub(r"(a=candidate:\S+ 1 udp \d+ \S+) \d+", rf"\1 {port}", answer)
    await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    await told(transceiver.sender, asked)
    status, _, _ = await asyncio.to_thread(request, "DELETE", resource, key)
    say("deleted", status)
    await connection.close()


asyncio.run(main(*sys.argv[1:]))
