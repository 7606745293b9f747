"""What a viewer's Chromium says: how far hls.js is behind the live, stalls, dropped frames."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from bench_common import LECTURE, ROOT, Captions, Publisher, Server, centile, heading, table, verdict, wait

SECONDS = int(os.environ.get("SECONDS_PLAYER", "70"))
WARM_UP = 10.0
TARGET = 2.0
AHEAD = 0.99


def watch(url: str) -> list[dict[str, Any]]:
    """A look at the page every half second."""
    viewer = subprocess.run(
        ["node", ROOT / "web" / "tests" / "viewer.mjs", url, "--seconds", str(SECONDS)], stdout=subprocess.PIPE, text=True, check=True
    )
    return [json.loads(line) for line in viewer.stdout.splitlines()]


def stalls(rows: list[dict[str, Any]]) -> tuple[int, float, float]:
    """How often the picture stood still, for how many seconds in all, and seconds jumped over."""
    count, still, jumped, standing = 0, 0.0, 0.0, False
    for before, after in zip(rows, rows[1:], strict=False):
        passed, played = after["at"] - before["at"], after["time"] - before["time"]
        stands = played < 0.25 * passed
        count += stands and not standing
        still += passed - played if stands else 0.0
        # hls.js catches up at no more than 1.5 times the speed; more than that is a seek.
        jumped += max(0.0, played - 1.5 * passed) if played > 1.5 * passed + 0.25 else 0.0
        standing = stands
    return count, still, jumped


def settled(cues: Sequence[tuple[float, dict[str, Any]]]) -> Iterator[tuple[float, float]]:
    """When each word became stable by the wall clock, and when it has been said in media time."""
    known: dict[int, int] = {}
    for at, cue in cues:
        stable, position = known.get(cue["id"], 0), 0
        for nth, word in enumerate(cue["words"]):
            position += len(word["text"])
            if nth >= stable and (cue["final"] or position <= cue["stable_len"]):
                known[cue["id"]] = nth + 1
                yield at, word["end"]
            position += 1


def ahead(name: str, *options: str) -> tuple[list[dict[str, Any]], tuple[object, ...]]:
    """What a page shows of a live, and how many words were stable before its picture had passed them."""
    with Server() as server:
        url = server.channel("watch", "--language", "en", *options)
        captions = Captions(server, "watch", "en")
        with Publisher(LECTURE, url, loop=True):
            wait("the live's playlist", lambda: server.get("/live/watch/index.m3u8") is not None)
            seen = watch(f"{server.http}/watch/watch")
    rows = warm(seen)
    looks, places = [row["at"] for row in rows], [row["place"] for row in rows]
    words = [(at, end) for at, end in settled(captions.cues()) if looks[0] <= at <= looks[-1]]
    there = sum(bool(np.interp(at, looks, places) <= end) for at, end in words)
    share = there / max(1, len(words))
    met = verdict(share >= AHEAD) if options else ""
    return seen, (name, f"{centile(lag(rows), 0.5):.2f} s", len(words), f"{share:.1%}", f"≥ {AHEAD:.0%}" if options else "", met)


def lag(rows: list[dict[str, Any]]) -> list[float]:
    """Seconds by which the picture lies behind the live at each look."""
    return [row["behind"] for row in rows if row["behind"] is not None]


def warm(seen: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The looks at a picture that has played for a while."""
    playing = [row for row in seen if row["state"] == "live" and row["latency"] and row["place"] is not None]
    return [row for row in playing if row["at"] >= playing[0]["at"] + WARM_UP]


def main() -> None:
    """Prints the table."""
    heading("hls.js in Chromium on the watch page (720p30 lecture, two rungs, captions, all on this machine)")
    seen, fast = ahead("fast mode")
    rows = warm(seen)
    lines = []
    for key, name, target in (("latency", "hls.js `latency`", TARGET), ("behind", "wall clock − `playingDate`", None),
                              ("target", "hls.js `targetLatency`", None)):
        values = [row[key] for row in rows if row[key] is not None]
        p50, p95 = centile(values, 0.5), centile(values, 0.95)
        met = verdict(p95 <= target) if target else ""
        lines.append((name, f"{p50:.2f} s", f"{p95:.2f} s", f"{max(values):.2f} s", f"≤ {target:.0f} s" if target else "", met))
    table(["behind the live", "p50", "p95", "max", "target", "met (p95)"], lines)
    count, still, jumped = stalls(rows)
    frames, dropped = (rows[-1][key] - rows[0][key] for key in ("frames", "dropped"))
    captioned = sum(bool(row["captions"]) for row in rows) / len(rows)
    problems = [problem for row in seen for problem in row["problems"]]
    lateness = next(row["at"] for row in seen if row["state"] == "live") - seen[0]["at"]
    print(f"{len(rows)} looks in {rows[-1]['at'] - rows[0]['at']:.0f} s after {WARM_UP:.0f} s of playing; live {lateness:.1f} s "
          f"after the page loaded. Stalls: {count} ({still:.1f} s), jumped over {jumped:.1f} s. Frames: {frames} shown or dropped, "
          f"{dropped} dropped ({dropped / max(1, frames):.1%}). Height at the end: {rows[-1]['height']}. Captions on the picture in "
          f"{captioned:.0%} of the looks. Problems on the page: {problems or 'none'}.\n")
    _, accurate = ahead("accurate mode", "--accurate")
    table(["channel", "picture behind the live, p50", "words", "stable before the picture had passed them", "target", "met"],
          [fast, accurate])


if __name__ == "__main__":
    main()
