"""What a viewer's Chromium says: how far hls.js is behind the live, stalls, dropped frames."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from bench_common import LECTURE, ROOT, Publisher, Server, centile, heading, table, verdict, wait

SECONDS = int(os.environ.get("SECONDS_PLAYER", "70"))
WARM_UP = 10.0
TARGET = 2.0


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


def main() -> None:
    """Prints the table."""
    heading("hls.js in Chromium on the watch page (720p30 lecture, two rungs, captions, all on this machine)")
    with Server() as server:
        url = server.channel("watch", "--language", "en")
        with Publisher(LECTURE, url, loop=True):
            wait("the live's playlist", lambda: server.get("/live/watch/index.m3u8") is not None)
            seen = watch(f"{server.http}/watch/watch")
    playing = [row for row in seen if row["state"] == "live" and row["latency"]]
    rows = [row for row in playing if row["at"] >= playing[0]["at"] + WARM_UP]
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
    lateness = playing[0]["at"] - seen[0]["at"]
    print(f"{len(rows)} looks in {rows[-1]['at'] - rows[0]['at']:.0f} s after {WARM_UP:.0f} s of playing; live {lateness:.1f} s "
          f"after the page loaded. Stalls: {count} ({still:.1f} s), jumped over {jumped:.1f} s. Frames: {frames} shown or dropped, {dropped} dropped "
          f"({dropped / max(1, frames):.1%}). Height at the end: {rows[-1]['height']}. Captions on the picture in "
          f"{captioned:.0%} of the looks. Problems on the page: {problems or 'none'}.\n")


if __name__ == "__main__":
    main()
