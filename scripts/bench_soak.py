"""The demo for ten minutes: nothing dropped, no growing lag, memory and playlists that keep up.

With CHANNELS_SOAK=8 so many lives at once instead, without rungs: lectures in English and Korean in turn.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bench_common import ROOT, Captions, Publisher, Server, centile, heading, ms, table, verdict, wait

SECONDS = int(os.environ.get("SECONDS_SOAK", "600"))
FILMS = {"en": "lecture-en.flv", "ko": "korean.flv"}
# Models load, playlists and buffers fill: an hour-long live is judged by what comes after.
WARM_UP = min(60.0, SECONDS / 6)
EVERY = 2.0
MANY = int(os.environ.get("CHANNELS_SOAK", "0"))
CHANNELS = {f"hall-{n}": (("en", "ko")[n % 2],) for n in range(MANY)} or {"demo": ("en", "pt"), "demo-ko": ("ko",)}
# Captions may be this much later at the end than at the beginning.
SLACK = 0.3
# The newest part of a playlist ends at most this far behind the wall clock.
BEHIND = 2.0
# A process may have grown by so many MiB, or by this share.
GROWTH, GROWTH_SHARE = 48.0, 0.15


@dataclass
class Seen:
    """What was noted on the way."""

    began: float = field(default_factory=time.time)
    # By process: when, id, CPU seconds, MiB.
    usage: dict[str, list[tuple[float, int, float, float]]] = field(default_factory=lambda: defaultdict(list))
    # By rendition: when, seconds behind the wall clock (None: no playlist).
    behind: dict[str, list[tuple[float, float | None]]] = field(default_factory=lambda: defaultdict(list))
    # Statuses of the API, the newest of each channel.
    status: dict[str, dict[str, Any]] = field(default_factory=dict)
    states: set[str] = field(default_factory=set)
    metrics: dict[str, float] = field(default_factory=dict)

    def windows(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """The beginning and the end that are compared: a tenth each, but one turn of the lecture if there is time."""
        first, last = self.began + WARM_UP, time.time()
        length = max((last - first) / 10, min(120.0, (last - first) / 2))
        return (first, first + length), (last - length, last)


def newest(playlist: str) -> float:
    """Wall clock at which the newest part of a media playlist ends."""
    at, after_segment = 0.0, 0.0
    for line in playlist.splitlines():
        if line.startswith("#EXT-X-PROGRAM-DATE-TIME:"):
            at = datetime.fromisoformat(line.partition(":")[2]).timestamp()
            after_segment = 0.0
        elif line.startswith("#EXT-X-PART:"):
            after_segment += float(re.search(r"DURATION=([\d.]+)", line)[1])
        elif line.startswith("#EXTINF:"):
            # The parts listed before it are the segment's own.
            at, after_segment = at + float(line.partition(":")[2].split(",")[0]), 0.0
    return at + after_segment


def look(server: Server, seen: Seen) -> None:
    """Notes how everything is just now."""
    now = time.time()
    for name, (pid, cpu, resident) in server.usage().items():
        seen.usage[name].append((now, pid, cpu, resident))
    for channel in CHANNELS:
        seen.status[channel] = server.json(f"/api/v1/channels/{channel}/status") or {}
        seen.states.add(str(seen.status[channel].get("state")))
        master = server.get(f"/live/{channel}/index.m3u8") or ""
        for uri in dict.fromkeys(re.findall(r'^/\S+\.m3u8|(?<=URI=")[^"]+\.m3u8', master, re.MULTILINE)):
            playlist = server.get(uri)
            seen.behind[uri].append((time.time(), time.time() - newest(playlist) if playlist else None))
    for line in (server.get("/metrics") or "").splitlines():
        match = re.match(r"(amphi_\w*(?:dropped|lost|refused)\w*(?:\{.*\})?) ([\d.e+]+)$", line)
        if match:
            seen.metrics[match[1]] = float(match[2])


def until(cue: dict[str, Any]) -> float:
    """Wall clock at which the last word of a cue's text ends."""
    end = cue["words"][-1]["end"] if cue["words"] else cue["end"]
    return datetime.fromisoformat(cue["start_pdt"]).timestamp() - cue["start"] + end


def shown(captions: Captions, window: tuple[float, float]) -> list[float]:
    """Seconds from the end of a word to the first text that reaches so far, of texts within the window."""
    found, furthest = [], 0.0
    for at, cue in captions.cues():
        end = until(cue)
        if end > furthest + 0.05 and window[0] <= at < window[1]:
            found.append(at - end)
        furthest = max(furthest, end)
    return found


def settled(captions: Captions, window: tuple[float, float]) -> list[float]:
    """Seconds from the end of a cue to its final text, of texts within the window."""
    return [at - until(cue) for at, cue in captions.cues() if cue["final"] and window[0] <= at < window[1]]


def mean(values: list[float]) -> float:
    """Their mean; not a number where there are none."""
    return sum(values) / len(values) if values else float("nan")


class Judge:
    """Collects what went wrong."""

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def check(self, good: bool, what: str) -> str:
        """Notes a failure; what a table shows."""
        if not good:
            self.wrong.append(what)
        return verdict(good)


def report_captions(seen: Seen, tracks: dict[str, Captions], judge: Judge) -> None:
    """Lag and losses of every track. Engines that fall behind show words later and later; when a text
    becomes final depends on where the speaker pauses, and is told without being judged."""
    first, last = seen.windows()
    rows = []
    for name, captions in tracks.items():
        before, after = shown(captions, first), shown(captions, last)
        told = [message for _, message in captions.received if message.get("lag_p50_ms") is not None]
        dropped = max((message["dropped"] for message in told), default=0)
        grown = centile(after, 0.5) - centile(before, 0.5)
        fine = judge.check(bool(before and after) and grown <= SLACK,
                           f"captions {name}: lag grew by {grown:.2f} s, {len(before)} and {len(after)} texts")
        judge.check(dropped == 0, f"captions {name}: {dropped} dropped")
        own = " → ".join(f"{told[n]['lag_p50_ms']} / {told[n]['lag_p95_ms']} ms" for n in (0, -1)) if told else "none"
        rows.append((name, f"{len(before)} / {len(after)}", both(before), both(after), fine, both(settled(captions, last)), own, dropped))
    length = first[1] - first[0]
    table(["captions: p50 / p95", f"new texts in the first and last {length:.0f} s", "word → shown, at first", "at last", "not growing",
           "cue → final, at last", "server's account of stable words, first → last", "dropped"], rows)


def both(values: list[float]) -> str:
    """Median and 95th percentile."""
    return f"{ms(centile(values, 0.5))} / {ms(centile(values, 0.95))}"


def report_processes(seen: Seen, judge: Judge) -> None:
    """CPU and memory of every process."""
    first, last = seen.windows()
    tenth = (seen.usage["amphi"][-1][0] - first[0]) / 10
    rows = []
    for name, samples in seen.usage.items():
        later = [sample for sample in samples if sample[0] >= first[0]]
        early = mean([s[3] for s in later if s[0] < first[0] + tenth])
        late = mean([s[3] for s in later if s[0] >= last[1] - tenth])
        restarts = len({sample[1] for sample in samples}) - 1
        cpu = (later[-1][2] - later[0][2]) / (later[-1][0] - later[0][0])
        allowed = max(GROWTH, early * GROWTH_SHARE)
        fine = judge.check(late - early <= allowed, f"{name}: grew from {early:.0f} to {late:.0f} MiB")
        judge.check(restarts == 0, f"{name}: restarted {restarts} times")
        rows.append((name, f"{cpu:.1%}", f"{early:.0f} MiB", f"{late:.0f} MiB", f"{max(s[3] for s in samples):.0f} MiB", fine, restarts))
    table(["process", "CPU (of one core)", "first tenth", "last tenth", "most", "not growing", "restarts"], rows)


def report_playlists(seen: Seen, judge: Judge) -> None:
    """How far the newest parts were behind the wall clock."""
    rows = []
    for uri, looks in sorted(seen.behind.items()):
        later = [seconds for at, seconds in looks if at >= seen.began + WARM_UP]
        missing = sum(seconds is None for seconds in later)
        known = [seconds for seconds in later if seconds is not None]
        fine = judge.check(bool(known) and not missing and max(known) <= BEHIND,
                           f"{uri}: up to {max(known, default=float('nan')):.2f} s behind, {missing} times not there")
        behind = (f"{value:.2f} s" for value in (centile(known, 0.5), centile(known, 0.95), max(known, default=float("nan"))))
        rows.append((f"`{uri}`", *behind, f"≤ {BEHIND:.0f} s", fine))
    table(["newest part behind the wall clock", "p50", "p95", "max", "target", "met"], rows)


def main() -> None:
    """Runs, prints, and fails if something fell behind."""
    what = f"{MANY} lives: captions, recording" if MANY else "The demo: both channels, rungs, captions, translation, recording"
    heading(f"{what}, for {SECONDS} s")
    judge = Judge()
    with ExitStack() as stack:
        server = stack.enter_context(Server(LADDER__ENABLED="false") if MANY else Server("--demo"))
        for name, (language, *_) in CHANNELS.items() if MANY else ():
            url = server.channel(name, "--language", language)
            stack.enter_context(Publisher(ROOT / "demo" / FILMS[language], url, loop=True))
        wait("both lives", lambda: all(server.get(f"/live/{name}/index.m3u8") for name in CHANNELS))
        seen = Seen()
        tracks = {f"{name} {lang}": Captions(server, name, lang) for name, langs in CHANNELS.items() for lang in langs}
        while time.time() < seen.began + SECONDS:
            look(server, seen)
            time.sleep(max(0.0, EVERY - (time.time() - seen.began) % EVERY))
        report_captions(seen, tracks, judge)
        report_processes(seen, judge)
        report_playlists(seen, judge)
        complaints = server.complaints()
    dropped = {name: status.get("dropped") for name, status in seen.status.items()}
    judge.check(set(dropped.values()) == {0}, f"status: dropped {dropped}")
    judge.check(not any(seen.metrics.values()), f"metrics: {seen.metrics}")
    judge.check(seen.states == {"live"}, f"states were {seen.states}")
    judge.check(not any("ERROR" in line or "panicked" in line for line in complaints), "the log has errors")
    print(f"Dropped by status: {dropped}; by metrics: {sum(seen.metrics.values()):.0f} (counters: {len(seen.metrics)}); states seen: "
          f"{', '.join(sorted(seen.states))}. Warnings and errors in the log: {len(complaints)}.", *complaints[:20], sep="\n")
    print("\n" + ("**Everything kept up.**" if not judge.wrong else "**It did not keep up:**"), *judge.wrong, sep="\n- ")
    sys.exit(bool(judge.wrong))


if __name__ == "__main__":
    main()
