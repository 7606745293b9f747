"""What viewers cost who wait for the next part: memory for each thousand, and processor time for each thousand answers."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from bench_common import PAGE, Publisher, Server, cpu_seconds, heading, moving, table, wait
from bench_peer import multimux, multimux_program

HELD = (1_000, 5_000)
ROUNDS = int(os.environ.get("ROUNDS_HELD", "3"))
SETTLED = 1.0


@dataclass(frozen=True)
class Origin:
    """A server, and a media playlist that it holds requests for."""

    pid: int
    host: str
    path: str

    def playlist(self) -> str:
        """The playlist as it is."""
        with urllib.request.urlopen(f"http://{self.host}{self.path}", timeout=20) as answer:
            return answer.read().decode()

    def mib(self) -> float:
        """Memory that is resident."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE / 2**20

    def under_way(self) -> int:
        """The media sequence number of the segment that is."""
        text = self.playlist()
        return int(re.search(r"#EXT-X-MEDIA-SEQUENCE:(\d+)", text)[1]) + text.count("#EXTINF:")

    def later(self) -> str:
        """When a segment has just begun, the playlist with the first part of the next one (rfc8216bis §6.2.5.2)."""
        before = self.under_way()
        while (now := self.under_way()) == before:
            time.sleep(0.02)
        return f"{self.path}?_HLS_msn={now + 1}&_HLS_part=0"


class Closed(Exception):
    """The server has closed a connection that is kept."""


class Viewer:
    """A connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self.reader, self.writer, self.host = reader, writer, host

    @classmethod
    async def come(cls, host: str) -> Viewer:
        """Connects."""
        name, _, port = host.partition(":")
        return cls(*await asyncio.open_connection(name, int(port)), host)

    def ask(self, path: str) -> None:
        """Sends a request."""
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode())

    async def answered(self) -> float:
        """Reads the answer to its end; when it began to come."""
        try:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        except asyncio.IncompleteReadError:
            raise Closed from None
        came = time.monotonic()
        if not head.startswith("http/1.1 200"):
            raise SystemExit(f"{self.host} answers {head.splitlines()[0]}")
        await self.reader.readexactly(int(re.search(r"content-length: (\d+)", head)[1]))
        return came


async def each(viewers: list[Viewer], work: Callable[[Viewer], Awaitable[float]]) -> list[float]:
    """The same for everybody at once."""
    return list(await asyncio.gather(*map(work, viewers)))


async def hold(origin: Origin, count: int) -> tuple[float, float, float, float]:
    """MiB for each thousand that are connected, and more where they are held; CPU seconds for each thousand answers; how far these lie apart."""
    before = origin.mib()
    viewers: list[Viewer] = []
    while len(viewers) < count:
        # No more at once than a server's backlog takes.
        viewers += await asyncio.gather(*(Viewer.come(origin.host) for _ in range(min(100, count - len(viewers)))))
    for viewer in viewers:
        viewer.ask(origin.path)
        await viewer.answered()
    await asyncio.sleep(SETTLED)
    connected = origin.mib()
    held, spent, apart = [], [], []
    for _ in range(ROUNDS):
        path = await asyncio.to_thread(origin.later)
        began = cpu_seconds(origin.pid)
        for viewer in viewers:
            viewer.ask(path)
        answers = asyncio.create_task(each(viewers, Viewer.answered))
        await asyncio.sleep(SETTLED)
        if answers.done():
            raise SystemExit(f"{origin.host} does not hold {path}")
        held.append(origin.mib())
        came = await answers
        spent.append(cpu_seconds(origin.pid) - began)
        apart.append(max(came) - min(came))
    for viewer in viewers:
        viewer.writer.close()
    thousands = count / 1_000
    return (connected - before) / thousands, (max(held) - connected) / thousands, min(spent) / thousands, min(apart)


def measure(what: str, origin: Callable[[], Origin], rows: list[tuple[object, ...]]) -> None:
    """A row for each number of viewers."""
    for count in HELD:
        try:
            connected, held, spent, apart = asyncio.run(hold(origin(), count))
        except Closed:
            rows.append((what, f"{count:,}", "closes connections", "", "", ""))
            continue
        rows.append((what, f"{count:,}", f"{connected:.1f} MiB", f"{held:.1f} MiB", f"{spent * 1000:.0f} ms", f"{apart * 1000:.0f} ms"))


def main() -> None:
    """Prints the table."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    heading("Viewers who are held for a part to come, all at once over HTTP/1.1")
    rows: list[tuple[object, ...]] = []
    with tempfile.TemporaryDirectory() as scratch:
        film = moving(Path(scratch), "1500k")
        settings = {"CAPTIONS__ENABLED": "false", "LADDER__ENABLED": "false", "RECORDING__ENABLED": "false"}
        with Server(**settings) as server, Publisher(film, server.channel("hall"), loop=True):
            path = "/live/hall/source/stream.m3u8"
            wait("a window of segments", lambda: (server.get(path) or "").count("#EXTINF:") > 10)
            measure("ours", lambda: Origin(server.process.pid, server.http.removeprefix("http://"), path), rows)
        if multimux_program():
            with multimux(["hall"]) as (pid, urls, http), Publisher(film, urls[0], loop=True):
                origin = Origin(pid, http, "/hall/media.m3u8")

                def has_begun() -> bool:
                    try:
                        return origin.playlist().count("#EXTINF:") > 5
                    except OSError:
                        return False

                wait("a window of segments", has_begun)
                measure("multimux", lambda: origin, rows)
    table(["server", "viewers", "each 1,000 connected", "more where held", "processor for each 1,000 answers", "first to last answer"], rows)
    print("Each answer is a whole playlist; the client, one thread of Python on the same machine, takes part in how far the answers lie apart.\n")


if __name__ == "__main__":
    main()
