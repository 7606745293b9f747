"""Thirty minutes of one live in our page and three other players: whether any of them stands still, or anything grows.

The publisher is cut off for three seconds after a third of the time, and after two thirds comes back with another
codec string, size and sound.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

from bench_common import LECTURE, PAGE, ROOT, Publisher, Server, heading, stat, table, verdict, wait

SECONDS = int(os.environ.get("SECONDS_LONG", "1800"))
PLAYERS = ("hls.js", "video.js", "Shaka")
AWAY = 3.0
# A player begins in this time, and memory is compared from here on.
SETTLE = min(300.0, SECONDS / 6)
# Standing still is advancing by less than this share of the time that passes, for longer than that.
SHARE, SHORTEST = 0.2, 0.7
# What grows by less does not grow.
GROWTH = 1.1


@dataclass
class Watched:
    """Wall clock and media time of one player, in seconds, and at what time its scripts held so many bytes."""

    samples: list[tuple[float, float]] = field(default_factory=list)
    heaps: list[tuple[float, float]] = field(default_factory=list)

    def stalls(self) -> list[tuple[float, float]]:
        """When it stood still, from its first picture on, and for how long."""
        found: list[tuple[float, float]] = []
        since = None
        begun = next((at for at, played in self.samples if played > 0), None)
        for (before, played), (at, now) in zip(self.samples, self.samples[1:], strict=False):
            if begun is None or before < begun:
                continue
            if now - played < SHARE * (at - before):
                since = before if since is None else since
            elif since is not None:
                found.append((since - begun, before - since))
                since = None
        if since is not None:
            found.append((since - begun, self.samples[-1][0] - since))
        return [(at, seconds) for at, seconds in found if seconds >= SHORTEST]


def film(folder: Path, name: str, *options: str) -> Path:
    """The lecture with a picture that four players can decode on one machine."""
    file = folder / name
    encoder = ["-c:v", "libx264", "-g", "60", "-bf", "0", "-pix_fmt", "yuv420p", *options]
    subprocess.run(["ffmpeg", "-v", "error", "-i", LECTURE, *encoder, file], check=True)
    return file


def publish(films: tuple[Path, Path], url: str, stop: threading.Event) -> None:
    """Three publishers, one after another."""
    first, last = films
    for nth, file in enumerate((first, first, last)):
        with Publisher(file, url, loop=True):
            if stop.wait(None if nth == 2 else SECONDS / 3):
                return
        if stop.wait(AWAY if nth == 0 else 0):
            return


def family(pid: int) -> Iterator[int]:
    """A process and all that come from it."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            children[int(stat(int(entry.name))[1])].append(int(entry.name))
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        yield one
        waiting += children[one]


def resident(pids: Iterator[int] | list[int]) -> float:
    """MiB that these hold alone, shared pages counted in parts."""
    held = 0
    for pid in pids:
        with suppress(OSError, IndexError):
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            held += int(rollup.partition("\nPss:")[2].split()[0])
    return held / 1024


def read(process: subprocess.Popen[str], seen: dict[str, Watched]) -> None:
    """Notes what a browser reports: our page row by row, the players in samples."""
    for line in process.stdout:
        row = json.loads(line)
        if "player" in row:
            seen[row["player"]].samples += [(at / 1000, played) for at, played, *_ in row["samples"]]
            seen[row["player"]].heaps.append((time.time(), row["heap"]))
        elif isinstance(row.get("time"), (int, float)):
            seen["our page"].samples.append((time.time(), row["time"]))
            seen["our page"].heaps.append((time.time(), row["heap"]))


def main() -> None:
    """Prints the tables."""
    heading(f"{SECONDS / 60:.0f} minutes of a captioned live in four players; publisher cut once, codec and size changed once")
    stop, seen = threading.Event(), defaultdict(Watched)
    with TemporaryDirectory() as scratch, Server(LADDER__ENABLED="false") as server:
        folder = Path(scratch)
        films = (film(folder, "first.flv", "-vf", "scale=320:180", "-preset", "ultrafast", "-c:a", "copy"),
                 film(folder, "last.flv", "-vf", "scale=480:270", "-preset", "veryfast", "-c:a", "aac", "-ar", "48000", "-ac", "2"))
        url = server.channel("long", "--language", "en")
        publisher = threading.Thread(target=publish, args=(films, url, stop))
        publisher.start()
        tests = ROOT / "web" / "tests"
        try:
            wait("the live's playlist", lambda: server.get("/live/long/index.m3u8") is not None)
            browsers = {
                "Chromium with our page": ["node", tests / "viewer.mjs", f"{server.http}/watch/long", "--seconds", str(SECONDS)],
                f"Chromium with {', '.join(PLAYERS)}": ["node", tests / "players.mjs", f"{server.http}/live/long/index.m3u8", "--seconds", str(SECONDS),
                                                        "--players", ",".join(PLAYERS)],
            }
            running = {name: subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for name, command in browsers.items()}
            reading = [threading.Thread(target=read, args=(process, seen)) for process in running.values()]
            for thread in reading:
                thread.start()
            memory, began = measured(server, running), time.monotonic()
            held: dict[str, list[tuple[float, float]]] = defaultdict(list)
            while all(process.poll() is None for process in running.values()):
                for name, mib in memory():
                    held[name].append((time.monotonic() - began, mib))
                time.sleep(5.0)
            for process in running.values():
                process.wait()
            for thread in reading:
                thread.join()
        finally:
            stop.set()
            publisher.join()
        changes = server.json("/api/v1/channels/long/status")
        print(f"Publishers that came back: {changes.get('reconnects')}.\n")
    rows = []
    for name, watched in seen.items():
        stalls = watched.stalls()
        at = ", ".join(f"{seconds:.1f} s at {begun / 60:.1f} min" for begun, seconds in stalls[:6])
        played = watched.samples[-1][0] - watched.samples[0][0]
        rows.append((name, f"{played / 60:.1f} min", len(stalls), f"{sum(seconds for _, seconds in stalls):.1f} s", at, verdict(not stalls and played > SECONDS * 0.9)))
    table(["player", "watched", "stood still", "in all", "when", "met"], rows)
    rows = [grown(name, mean, readings) for name, readings in held.items()]
    # What scripts hold goes up and down between collections.
    for name, watched in seen.items():
        begun = watched.heaps[0][0]
        rows.append(grown(f"scripts of {name}, least", min, [(at - begun, held / 2**20) for at, held in watched.heaps]))
    table(["memory of its own", f"first third behind {SETTLE / 60:.0f} min", "second", "last", f"last grows by less than {GROWTH - 1:.0%}"], rows)


def grown(name: str, of: Callable[[Iterable[float]], float], readings: list[tuple[float, float]]) -> tuple[str, ...]:
    """A row of what was held in each third, in MiB; the publisher of the last one sends more."""
    later = [mib for at, mib in readings if at > SETTLE]
    third = len(later) // 3
    thirds = [of(later[:third]), of(later[third:-third]), of(later[-third:])]
    return name, *(f"{mib:.0f} MiB" for mib in thirds), verdict(thirds[2] < thirds[0] * GROWTH)


def measured(server: Server, running: dict[str, subprocess.Popen[str]]):  # noqa: ANN201 - a reader of memory
    """What reads the memory of the server, its engine and each browser."""

    def memory() -> Iterator[tuple[str, float]]:
        for name, pid in server.processes():
            yield name, resident([pid])
        for name, process in running.items():
            yield name, resident(list(family(process.pid)))

    return memory


if __name__ == "__main__":
    main()
