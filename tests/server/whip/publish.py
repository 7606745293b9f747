"""Publishes over WHIP with aiortc until standard input ends, then DELETEs its session.

usage: publish.py URL KEY CODEC SOURCE [PORT]
CODEC is H264 or VP8; SOURCE is a file with picture and sound. PORT is where media goes instead of to the port that
the server names: a proxy's. Prints "answered STATUS", "resource URL", "connected", "deleted STATUS" and "gone".
"""

import asyncio
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

from aiortc import RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.contrib.media import MediaPlayer


def say(*words):
    print(*words, flush=True)


def request(method, url, key, body=None, kind=None):
    headers = {"Authorization": f"Bearer {key}"} | ({"Content-Type": kind} if kind else {})
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method)) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


async def main(url, key, codec, source, port=None):
    connection = RTCPeerConnection()
    player = MediaPlayer(source)
    connection.addTransceiver(player.audio, "sendonly")
    transceiver = connection.addTransceiver(player.video, "sendonly")
    codecs = RTCRtpSender.getCapabilities("video").codecs
    transceiver.setCodecPreferences([c for c in codecs if c.mimeType in (f"video/{codec}", "video/rtx")])

    @connection.on("connectionstatechange")
    def changed():
        state = connection.connectionState
        say({"closed": "gone", "failed": "gone"}.get(state, state))

    await connection.setLocalDescription(await connection.createOffer())
    offer = connection.localDescription.sdp.encode()
    status, headers, answer = await asyncio.to_thread(request, "POST", url, key, offer, "application/sdp")
    say("answered", status)
    if status != 201:
        say(answer)
        return
    resource = urllib.parse.urljoin(url, headers["Location"])
    say("resource", resource)
    if port:
        answer = re.sub(r"(a=candidate:\S+ 1 udp \d+ \S+) \d+", rf"\1 {port}", answer)
    await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    await asyncio.to_thread(sys.stdin.read)
    status, _, _ = await asyncio.to_thread(request, "DELETE", resource, key)
    say("deleted", status)
    await connection.close()


asyncio.run(main(*sys.argv[1:]))
