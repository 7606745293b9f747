import { scalars } from './pieces';
import type { CueEvent } from './wire';

/** Words that count: two minutes of speech. */
const SAMPLES = 300;
/** Words from which on a share says something. */
const ENOUGH = 20;
/** Cues that may change at once. */
const CUES = 64;

/**
 * How many of a track's words were there for good before this viewer's picture reached their end: the server can
 * say it only of a player that stays as near as it may. Pure: times are arguments, in seconds on the stream's timeline.
 */
export class Ahead {
  private samples: boolean[] = [];
  /** Characters of a cue that were stable, by its id. */
  private readonly stable = new Map<number, number>();

  /** A cue came while the picture was at `now`. */
  took(cue: CueEvent, now: number): void {
    const before = this.stable.get(cue.id) ?? 0;
    const after = cue.final ? Infinity : Math.max(before, cue.stable_len);
    const settled = ends(cue).filter(({ upTo }) => upTo > before && upTo <= after);
    this.samples = [...this.samples, ...settled.map(({ end }) => now <= end)].slice(-SAMPLES);
    this.stable.set(cue.id, after);
    const [oldest] = this.stable.keys();
    if (this.stable.size > CUES && oldest !== undefined) this.stable.delete(oldest);
  }

  /** Their share, 0 to 1; null before there were enough to tell. */
  get share(): number | null {
    return this.samples.length < ENOUGH ? null : this.samples.filter(Boolean).length / this.samples.length;
  }

  clear(): void {
    this.samples = [];
    this.stable.clear();
  }
}

/** Where a cue's words end, in Unicode scalar values and in seconds. Words without times share the cue by their letters. */
function ends(cue: CueEvent): { upTo: number; end: number }[] {
  const timed = (cue.words ?? []).length > 0;
  const words = timed ? (cue.words ?? []) : cue.text.split(' ').map((text) => ({ text, end: null }));
  const whole = scalars(cue.text);
  let from = 0;
  return words.map(({ text, end }) => {
    from = Math.max(from, cue.text.indexOf(text, from) + text.length);
    const upTo = scalars(cue.text.slice(0, from));
    return { upTo, end: end ?? cue.start + ((cue.end - cue.start) * upTo) / Math.max(1, whole) };
  });
}
