import { LEAD, type Piece } from './pieces';
import { type CueTimeline, GLANCE, HOLD, reachedBy, readingTime, type Shown, textOf, type TimelineCue } from './timeline';
import { screenful } from './wrap';

/** Seconds by which a word may come after its time and still count as in step. */
const LATE = 0.3;
/** Seconds after its end up to which a cue is shown to somebody who has just come. */
const FRESH = 6;
/** Seconds after its end from which a cue that waits its turn is left to the transcript. */
const STALE = 20;
/** Seconds by which the picture may run off the clock before that counts as a jump. */
const JUMP = 2.5;

/**
 * What of a live's captions stands over the picture.
 *
 * Words that are there in time appear as the picture reaches them, and a cue gives way to the next
 * one's first word. Words that come late (a translation at the end of its sentence) appear as they
 * come, and stay until they can have been read; meanwhile the next cues wait their turn, in order,
 * none left out. As reading is faster than speaking, what waits catches up with the picture.
 * Cues are short phrases: one that gives way stays above the next one while that is built.
 *
 * Pure: `now` is the picture's place on the stream's timeline, `clock` counts the seconds in which
 * the viewer could read; both in seconds, called often and in order.
 */
export class Stage {
  /** The cue on the stage or the last one that was. */
  private current: number | null = null;
  /** The cue it took the place of, if that still stood there. */
  private above: number | null = null;
  /** When it came. */
  private since = 0;
  /** Its words that have been counted, with how often each stood there at once. */
  private counted = new Map<string, number>();
  /** When the eye is through with its late words; 0 if none was late. */
  private eye = 0;
  /** The last call's times. */
  private before: { now: number; clock: number } | null = null;

  constructor(private readonly timeline: CueTimeline) {}

  /** Starts anew with the newest cue. */
  clear(): void {
    this.current = null;
    this.above = null;
    this.before = null;
  }

  /** What is visible now. */
  at(now: number, clock: number): Shown | null {
    const { before } = this;
    if (before !== null && Math.abs(now - before.now - (clock - before.clock)) > JUMP) this.clear();
    this.before = { now, clock };
    if (this.current === null) this.begin(now, clock);
    for (;;) {
      this.count(now, clock);
      const next = this.next(now);
      if (next === null || clock < this.read()) break;
      this.above = this.visible(now, clock) === null ? null : this.current;
      this.enter(next, clock);
    }
    return this.visible(now, clock);
  }

  private begin(now: number, clock: number): void {
    const newest = this.timeline.latest(now);
    if (newest === null) return;
    this.enter(newest, clock);
    // What stands there by itself is joined in the middle, and nobody waits for what was said long
    // ago: neither holds up what comes next.
    if (now < newest.end + HOLD || newest.end + FRESH < now) this.fresh(reachedBy(newest, now));
  }

  private next(now: number): TimelineCue | null {
    let next = this.current === null ? null : this.timeline.after(this.current, now);
    while (next !== null && next.end + STALE < now) next = this.timeline.after(next.id, now);
    return next;
  }

  private enter(cue: TimelineCue, clock: number): void {
    this.current = cue.id;
    this.since = clock;
    this.counted.clear();
    this.eye = 0;
  }

  /** Counts the time to read words that came late, or anew by a revision. */
  private count(now: number, clock: number): void {
    const cue = this.cue();
    if (cue === null || cue.pieces.length === 0) {
      this.eye = 0;
      return;
    }
    const reached = reachedBy(cue, now);
    for (const piece of this.fresh(reached)) {
      if (now - piece.start > LATE) this.eye = Math.max(this.eye, clock) + readingTime(piece.text);
    }
    // What rolls in by itself is waited for, even if the picture has gone on.
    const rolls = !cue.timed && fitting(reached, clock - this.since).length < reached.length;
    if (rolls) this.eye = Math.max(this.eye, this.since + readingTime(textOf(reached)));
  }

  /** Counts pieces; those that are new. A word that moves or is written otherwise has been read. */
  private fresh(pieces: readonly Piece[]): Piece[] {
    const seen = new Map<string, number>();
    return pieces.filter(({ text }) => {
      const word = text.toLocaleLowerCase().replace(/[^\p{L}\p{N}]/gu, '');
      const times = (seen.get(word) ?? 0) + 1;
      seen.set(word, times);
      if (times <= (this.counted.get(word) ?? 0)) return false;
      this.counted.set(word, times);
      return true;
    });
  }

  private visible(now: number, clock: number): Shown | null {
    const cue = this.cue();
    if (cue === null) return null;
    const pieces = fitting(reachedBy(cue, now), clock - this.since);
    if (pieces.length === 0) return null;
    if (now >= cue.end + HOLD && (this.eye === 0 || clock >= this.read() + HOLD)) return null;
    const above = this.above === null ? null : this.timeline.get(this.above);
    return { cue, pieces, above: above?.pieces ?? [] };
  }

  /** When the cue can have been read; 0 if all of it was there in time. */
  private read(): number {
    return this.eye === 0 ? 0 : Math.max(this.eye, this.since + GLANCE);
  }

  private cue(): TimelineCue | null {
    return this.current === null ? null : this.timeline.get(this.current);
  }
}

/** As many pieces as can have been followed after so many seconds: a screenful, then what pushes out only what has been read. */
function fitting(pieces: Piece[], seconds: number): Piece[] {
  const first = screenful(pieces);
  let passed = -readingTime(' '.repeat(LEAD));
  return pieces.filter((piece, index) => {
    passed += readingTime(piece.text);
    return index < first || passed <= seconds;
  });
}
