import { Growth } from './growth';
import { scalars } from './pieces';
import type { CueEvent } from './wire';

/** Words that count: two minutes of speech. */
const SAMPLES = 300;
/** Words from which on a share says something. */
const ENOUGH = 20;

/**
 * How many of a track's words were there for good before this viewer's picture reached their end: the server can
 * say it only of a player that stays as near as it may. Pure: times are arguments, in seconds on the stream's timeline.
 */
export class Ahead {
  private samples: boolean[] = [];
  /** Of what of them is stable. */
  private readonly growth = new Growth();

  /** A cue came while the picture was at `now`. */
  took(cue: CueEvent, now: number): void {
    const after = cue.final ? Infinity : cue.stable_len;
    const before = this.growth.to(cue.id, after);
    if (before === null) return;
    const settled = ends(cue).filter(({ upTo }) => upTo > before && upTo <= after);
    this.samples = [...this.samples, ...settled.map(({ end }) => now <= end)].slice(-SAMPLES);
  }

  /** Their share, 0 to 1; null before there were enough to tell. */
  get share(): number | null {
    return this.samples.length < ENOUGH ? null : this.samples.filter(Boolean).length / this.samples.length;
  }

  clear(): void {
    this.samples = [];
    this.growth.clear();
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
