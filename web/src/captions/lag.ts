import type { CueEvent } from './wire';

/** Words whose lag counts. */
const SAMPLES = 30;
/** Cues whose length is remembered. */
const CUES = 20;

/** How late words come behind the picture. Pure: times are arguments, in seconds on the stream's timeline. */
export class Lag {
  private samples: number[] = [];
  private readonly lengths = new Map<number, number>();

  /** A cue came while the picture was at `now`. */
  took(cue: CueEvent, now: number): void {
    const before = this.lengths.get(cue.id) ?? 0;
    if (cue.text.length <= before) return;
    this.lengths.set(cue.id, cue.text.length);
    const [oldest] = this.lengths.keys();
    if (this.lengths.size > CUES && oldest !== undefined) this.lengths.delete(oldest);
    this.samples = [...this.samples, now - cue.end].slice(-SAMPLES);
  }

  /** The share `of` the words that are no later than this; null before there were enough to tell. */
  centile(of: number): number | null {
    const sorted = this.samples.toSorted((a, b) => a - b);
    return sorted.length < 5 ? null : (sorted[Math.floor(of * (sorted.length - 1))] ?? null);
  }

  clear(): void {
    this.samples = [];
    this.lengths.clear();
  }
}
