import { Growth } from './growth';
import type { CueEvent } from './wire';

/** Words whose lag counts. */
const SAMPLES = 30;

/** How late words come behind the picture. Pure: times are arguments, in seconds on the stream's timeline. */
export class Lag {
  private samples: number[] = [];
  private readonly growth = new Growth();

  /** A cue came while the picture was at `now`. */
  took(cue: CueEvent, now: number): void {
    if (this.growth.to(cue.id, cue.text.length) === null) return;
    this.samples = [...this.samples, now - cue.end].slice(-SAMPLES);
  }

  /** The share `of` the words that are no later than this; null before there were enough to tell. */
  centile(of: number): number | null {
    const sorted = this.samples.toSorted((a, b) => a - b);
    return sorted.length < 5 ? null : (sorted[Math.floor(of * (sorted.length - 1))] ?? null);
  }

  clear(): void {
    this.samples = [];
    this.growth.clear();
  }
}
