"""Janus, as Debian packages it: its streaming plugin sends viewers over WebRTC what reaches it as RTP."""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiortc import RTCPeerConnection, RTCSessionDescription
from bench_common import cpu_seconds, debian, wait
from websockets.asyncio.client import connect

PAGE = Path(__file__).with_suffix(".html")
# Nothing is loaded but the streaming plugin and websockets.
MAIN = """
general: {{
    plugins_folder = "{home}/plugins"
    transports_folder = "{home}/transports"
    events_folder = "{home}"
    loggers_folder = "{home}"
    debug_level = 3
    session_timeout = 0
}}
"""
WEBSOCKETS = """
general: {{
    json = "compact"
    ws = true
    ws_port = {port}
    ws_ip = "127.0.0.1"
}}
"""
# Whoever comes gets the last key frame at once, as from us.
STREAMING = """
live: {{
    type = "rtp"
    id = 1
    audio = true
    audioport = {audio}
    audiopt = 111
    audiocodec = "opus"
    video = true
    videoport = {video}
    videopt = 96
    videocodec = "h264"
    videofmtp = "profile-level-id=42e01f;packetization-mode=1"
    videobufferkf = true
}}
"""


class Janus:
    """A running Janus with one stream; raises `OSError` where it cannot be had."""

    def __init__(self) -> None:
        place = debian("janus", "janus")
        if place is None:
            raise OSError("`apt-get download janus` did not work here")
        self.home = tempfile.TemporaryDirectory(prefix="amphi-bench-")
        home = Path(self.home.name)
        libraries = next(place.glob("usr/lib/*-linux-gnu"))
        for folder, library in (("plugins", "streaming"), ("transports", "websockets")):
            (home / folder).mkdir()
            file = next((libraries / "janus" / folder).glob(f"libjanus_{library}.so.*"))
            (home / folder / f"libjanus_{library}.so").symlink_to(file)
        self.port, self.audio, self.video = free(socket.SOCK_STREAM), free(socket.SOCK_DGRAM), free(socket.SOCK_DGRAM)
        (home / "janus.jcfg").write_text(MAIN.format(home=home))
        (home / "janus.transport.websockets.jcfg").write_text(WEBSOCKETS.format(port=self.port))
        (home / "janus.plugin.streaming.jcfg").write_text(STREAMING.format(audio=self.audio, video=self.video))
        with (home / "log").open("w") as log:
            self.process = subprocess.Popen(
                [place / "usr/bin/janus", "--configs-folder", home, "--disable-colors"],
                env={"LD_LIBRARY_PATH": str(libraries)}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        wait("Janus to listen", self._listens)

    def _listens(self) -> bool:
        if self.process.poll() is not None:
            raise OSError(f"Janus does not run here: {(Path(self.home.name) / 'log').read_text()}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.home.cleanup()

    def cpu(self) -> float:
        """Processor seconds so far."""
        return cpu_seconds(self.process.pid)

    def page(self) -> str:
        """The address of a page that plays the stream."""
        return f"{PAGE.as_uri()}#{self.port}"

    def outputs(self, video: str, sound: str) -> list[str]:
        """ffmpeg's outputs with these encoders, in packets as large as ours (1,188 bytes of payload)."""
        to = "rtp://127.0.0.1:{}?pkt_size=1200"
        return [*video.split(), "-an", "-payload_type", "96", "-f", "rtp", to.format(self.video),
                *sound.split(), "-vn", "-payload_type", "111", "-f", "rtp", to.format(self.audio)]

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Callable[[], Awaitable[RTCPeerConnection]]]:
        """What makes a viewer connect, as often as it is called."""
        numbers = count()
        async with connect(f"ws://127.0.0.1:{self.port}", subprotocols=["janus-protocol"], compression=None) as socket:

            async def ask(what: str, **more: Any) -> dict[str, Any]:
                """A request and its answer; that of a plugin follows an acknowledgement."""
                mark = str(next(numbers))
                await socket.send(json.dumps({"janus": what, "transaction": mark, **more}))
                while True:
                    answer = json.loads(await socket.recv())
                    if answer.get("transaction") == mark and answer["janus"] != "ack":
                        assert answer["janus"] in ("success", "event"), answer
                        return answer

            session = (await ask("create"))["data"]["id"]

            async def join() -> RTCPeerConnection:
                attached = await ask("attach", session_id=session, plugin="janus.plugin.streaming")
                place = {"session_id": session, "handle_id": attached["data"]["id"]}
                offer = (await ask("message", **place, body={"request": "watch", "id": 1}))["jsep"]
                peer = RTCPeerConnection()
                await peer.setRemoteDescription(RTCSessionDescription(offer["sdp"], offer["type"]))
                await peer.setLocalDescription(await peer.createAnswer())
                answer = {"type": "answer", "sdp": peer.localDescription.sdp}
                await ask("message", **place, body={"request": "start"}, jsep=answer)
                return peer

            yield join


def free(kind: socket.SocketKind) -> int:
    """A port that is free just now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
