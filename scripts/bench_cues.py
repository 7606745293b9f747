"""Whether hls.js, video.js and Shaka show every WebVTT cue of a long live once, whatever happens in between.

The publisher is cut off and returns, the viewers' network fails for a moment, and captions are switched
between two languages. What should be shown is read from the caption playlists beside the players. The channel
is in accurate mode: with less time behind the live, a player may rightly be past a cue when it comes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from bisect import bisect
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from bench_common import LECTURE, ROOT, Publisher, Server, heading, table, verdict, wait

SECONDS = int(os.environ.get("SECONDS_CUES", "1800"))
LANGUAGES = ("en", "pt")
# Captions are switched this often.
SWITCH = 120.0
# Behind a switch, a jump or a stall a player gets this long to show what it should.
SETTLE = 4.0
# Samples over which a player's time has to keep up with the clock: a second.
WINDOW = 10
# What happens in between.
EVENTS = os.environ.get("EVENTS_CUES", "switch,cut,offline").split(",")
# A player's own timeline and the live's differ by a constant, up to this.
SLACK = 0.15


@dataclass
class Cue:
    """A published cue, in seconds of the live's media time."""

    start: float
    end: float
    text: str


@dataclass
class Witness:
    """Reads every caption segment of a live."""

    server: Server
    cues: dict[str, dict[str, Cue]] = field(default_factory=lambda: {language: {} for language in LANGUAGES})
    seen: set[str] = field(default_factory=set)
    done: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until `done`."""
        while not self.done.wait(2.0):
            for language in LANGUAGES:
                self._read(language)

    def _read(self, language: str) -> None:
        playlist = self.server.get(f"/live/cues/captions-{language}/stream.m3u8") or ""
        for line in playlist.splitlines():
            if line.startswith("/") and line not in self.seen:
                document = self.server.get(line)
                if document is not None:
                    self.seen.add(line)
                    self.cues[language] |= cues(document)


def cues(document: str) -> dict[str, Cue]:
    """Those of a WebVTT document, by id."""
    found = {}
    for block in document.split("\n\n")[1:]:
        name, _, rest = block.strip().partition("\n")
        times, _, text = rest.partition("\n")
        # What says nothing only marks a part in which nobody speaks.
        if " --> " in times and text:
            start, end = times.split(" --> ")
            found[name] = Cue(clock(start), clock(end.split(" ")[0]), text)
    return found


def clock(stamp: str) -> float:
    """Seconds of `00:00:00.000`."""
    seconds = 0.0
    for number in stamp.split(":"):
        seconds = seconds * 60 + float(number)
    return seconds


def plain(text: str) -> str:
    """As a player gives it back: without lines and escapes."""
    for escape, char in (("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")):
        text = text.replace(escape, char)
    return " ".join(text.split())


@dataclass
class Stretch:
    """A player's undisturbed playing with captions in one language, in its own time."""

    language: str
    begins: float
    ends: float


@dataclass
class Viewing:
    """What one player did."""

    samples: list[tuple[float, float, str | None, list[str]]] = field(default_factory=list)
    # Whether it had a network, a sample each.
    online: list[bool] = field(default_factory=list)
    cues: dict[str, dict[str, Cue]] = field(default_factory=lambda: defaultdict(dict))
    doubles: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    played: list[Stretch] = field(default_factory=list)

    def take(self, line: dict[str, Any]) -> None:
        """A line of the players' report."""
        self.samples += [tuple(sample) for sample in line["samples"]]
        self.online += [not line["offline"]] * len(line["samples"])
        languages = [sample[2] for sample in line["samples"] if sample[2]]
        language = languages[-1] if languages else None
        for key, (start, end, text) in line["cues"].items():
            self.cues[language][key] = Cue(start, end, text)
        self.doubles |= set(line["doubles"])
        self.problems += line["problems"]

    def stretches(self) -> list[Stretch]:
        """Where it played at about normal speed, with `SETTLE` left out at the beginning of each.

        Without a network the picture goes on from what a player holds, past cues that are published meanwhile:
        no player can show those.
        """
        found: list[Stretch] = []
        begun = None
        for nth in range(WINDOW, len(self.samples)):
            before, after = self.samples[nth - WINDOW], self.samples[nth]
            passed, played = (after[0] - before[0]) / 1000, after[1] - before[1]
            steady = before[2] == after[2] and after[2] is not None and abs(played - passed) <= 0.3
            if not steady or not all(self.online[nth - WINDOW : nth + 1]):
                begun = None
            elif begun is None:
                begun = after[1]
                found.append(Stretch(after[2], begun + SETTLE, begun))
            else:
                found[-1].ends = after[1]
        return [stretch for stretch in found if stretch.ends > stretch.begins]

    def shown(self) -> dict[str, list[tuple[float, float]]]:
        """When each cue was on the screen, by language and key, in the player's time; stretches that touch are one."""
        spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
        before: list[str] = []
        for _, at, language, active in self.samples:
            for key in active:
                known = spans[f"{language} {key}"]
                # A page that is not let run for a while takes no samples; what it shows stays.
                if known and (key in before or at - known[-1][1] < 0.5):
                    known[-1] = (known[-1][0], at)
                else:
                    known.append((at, at))
            before = active
        return spans


@dataclass
class Score:
    """Of one player."""

    expected: int = 0
    missing: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    drift: float = 0.0


def judge(viewing: Viewing, witness: Witness) -> Score:
    """Every cue that lies in a stretch of undisturbed playing was on the screen then, once."""
    score = Score(twice=sorted(viewing.doubles))
    shown = viewing.shown()
    for language in LANGUAGES:
        published = sorted(witness.cues[language].values(), key=lambda cue: cue.start)
        held = sorted(viewing.cues[language].items(), key=lambda item: item[1].start)
        offsets = matched(published, [cue for _, cue in held])
        if not offsets:
            continue
        where = [at for at, _ in offsets]
        by_text: dict[str, list[str]] = defaultdict(list)
        for key, cue in held:
            by_text[plain(cue.text)].append(key)
        for cue in published:
            near = max(0, bisect(where, cue.start) - 1)
            offset = median(value for _, value in offsets[max(0, near - 2) : near + 3])
            start, end = cue.start + offset, cue.end + offset
            if not any(s.language == language and s.begins <= start and end <= s.ends for s in viewing.played):
                continue
            score.expected += 1
            keys = [key for key in by_text[plain(cue.text)] if abs(viewing.cues[language][key].start - start) <= 1.0]
            spans = [span for key in keys for span in shown.get(f"{language} {key}", [])]
            if not spans:
                score.missing.append(f"{language} {cue.start:.1f} {cue.text!r}")
            elif len(spans) > 1:
                score.twice.append(f"{language} {cue.start:.1f} {cue.text!r}")
            for key in keys:
                score.drift = max(score.drift, abs(viewing.cues[language][key].start - start))
    return score


def matched(published: list[Cue], held: list[Cue]) -> list[tuple[float, float]]:
    """Start of each published cue that a player held, with how far the player's time is ahead of it.

    The lecture repeats, so a text alone says little: of those that say the same, the one is meant that lies where the
    last one did.
    """
    found: list[tuple[float, float]] = []
    by_text: dict[str, list[Cue]] = defaultdict(list)
    for cue in published:
        by_text[plain(cue.text)].append(cue)
    ahead = 0.0
    for cue in held:
        if alike := by_text[plain(cue.text)]:
            nearest = min(alike, key=lambda other: abs(cue.start - other.start - ahead))
            ahead = cue.start - nearest.start
            found.append((nearest.start, ahead))
    return found


def small(folder: Path) -> Path:
    """The lecture with a picture that three players can decode on one machine."""
    file = folder / "small.flv"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", LECTURE, "-vf", "scale=320:180", "-c:v", "libx264", "-preset", "ultrafast",
         "-g", "60", "-bf", "0", "-c:a", "copy", file], check=True,
    )  # fmt: skip
    return file


def watch(server: Server) -> dict[str, Viewing]:
    """Three players for `SECONDS`, without network for 6 s in the middle."""
    viewings: dict[str, Viewing] = defaultdict(Viewing)
    command = ["node", ROOT / "web" / "tests" / "players.mjs", f"{server.http}/live/cues/index.m3u8", "--seconds", str(SECONDS),
               "--players", os.environ.get("PLAYERS_CUES", "hls.js,video.js,Shaka"), "--languages", ",".join(LANGUAGES), "--switch", str(min(SWITCH, SECONDS / 4) if "switch" in EVENTS else 0),
               "--offline", f"{SECONDS * 0.55},{6 if 'offline' in EVENTS else 0}"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as players:
        for line in players.stdout:
            report = json.loads(line)
            viewings[report["player"]].take(report)
    if players.returncode:
        sys.exit("the players broke down")
    return viewings


def publish(file: Path, url: str, stop: threading.Event) -> None:
    """A publisher that is cut off for 3 s after a third of the time."""
    with Publisher(file, url, loop=True):
        if stop.wait(SECONDS / 3 if "cut" in EVENTS else None):
            return
    if stop.wait(3.0):
        return
    with Publisher(file, url, loop=True):
        stop.wait()


def main() -> None:
    """Prints the table; exits with 1 where a cue is missing or twice."""
    heading(f"Cues of {SECONDS / 60:.0f} minutes of live in three players (two languages in turn, publisher and network cut once)")
    stop = threading.Event()
    with TemporaryDirectory() as folder, Server(LADDER__ENABLED="false") as server:
        url = server.channel("cues", "--language", "en", "--translate", "pt", "--accurate")
        publisher = threading.Thread(target=publish, args=(small(Path(folder)), url, stop))
        publisher.start()
        witness = Witness(server)
        reading = threading.Thread(target=witness.run)
        try:
            wait("the live's playlist", lambda: server.get("/live/cues/index.m3u8") is not None)
            reading.start()
            viewings = watch(server)
            time.sleep(3.0)
        finally:
            witness.done.set()
            stop.set()
            publisher.join()
        reading.join()
    rows, bad = [], False
    for name, viewing in viewings.items():
        viewing.played = viewing.stretches()
        score = judge(viewing, witness)
        undisturbed = sum(stretch.ends - stretch.begins for stretch in viewing.played)
        enough = score.expected > 0 and undisturbed > SECONDS / 2
        good = enough and not score.missing and not score.twice and score.drift <= SLACK
        bad |= not good
        rows.append((name, f"{undisturbed:.0f} s", score.expected, len(score.missing), len(score.twice),
                     f"{score.drift * 1000:.0f} ms", len(viewing.problems), verdict(good)))  # fmt: skip
        for complaint in score.missing[:10]:
            print(f"{name}: missing {complaint}")
        for complaint in score.twice[:10]:
            print(f"{name}: twice {complaint}")
        for problem in viewing.problems[:5]:
            print(f"{name}: {problem}")
    table(["player", "undisturbed playing", "cues due", "missing", "twice", "furthest off", "errors", "met"], rows)
    if out := os.environ.get("CUES_RAW"):
        raw = {name: {"samples": viewing.samples, "online": viewing.online, "cues": {lang: {key: vars(cue) for key, cue in held.items()} for lang, held in viewing.cues.items()}} for name, viewing in viewings.items()}
        Path(out).write_text(json.dumps({"players": raw, "published": {lang: {key: vars(cue) for key, cue in held.items()} for lang, held in witness.cues.items()}}))
    sys.exit(bad)


if __name__ == "__main__":
    main()
