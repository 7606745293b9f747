import { type Piece, pieces } from './pieces';
import type { CueEvent } from './wire';

/** A cue on the timeline, cut into pieces. */
export interface TimelineCue {
  id: number;
  rev: number;
  lang: string;
  /** Seconds. */
  start: number;
  end: number;
  final: boolean;
  source: 'asr' | 'mt' | 'human';
  pieces: Piece[];
  /** Seconds on the timeline; when it could first be shown, later than `start` if the text came late. */
  appeared: number;
}

/** What stands over the picture. */
export interface Shown {
  cue: TimelineCue;
  /** The pieces the picture has reached, in order. */
  pieces: Piece[];
}

/** Seconds a cue stays after its end, unless another replaces it. */
const HOLD = 1.5;
/** Characters a second that people read. */
const READING = 20;
/** Cues kept; older ones are forgotten. */
const CAPACITY = 4000;

/**
 * The cues of one track, in order, and what is visible at a moment of the picture.
 *
 * Pure: time is an argument, in seconds on the stream's timeline.
 */
export class CueTimeline {
  private cues: TimelineCue[] = [];

  /** The highest id seen, to resume from. */
  get lastId(): number | null {
    return this.cues.at(-1)?.id ?? null;
  }

  /** All cues, oldest first. */
  get all(): readonly TimelineCue[] {
    return this.cues;
  }

  /**
   * Takes a cue or a revision that came when the picture was at `now` (null before it plays).
   * Returns the cue as it stands, null for a revision that is older than what is known.
   */
  apply(event: CueEvent, now: number | null): TimelineCue | null {
    const at = this.place(event.id);
    const known = this.cues[at];
    const replaces = known?.id === event.id;
    if (replaces && known.rev >= event.rev) return null;
    const cue: TimelineCue = {
      id: event.id,
      rev: event.rev,
      lang: event.lang,
      start: event.start,
      end: Math.max(event.end, event.start),
      final: event.final,
      source: event.source ?? 'asr',
      pieces: pieces(event),
      appeared: replaces ? known.appeared : Math.max(event.start, now ?? event.start),
    };
    this.cues.splice(at, replaces ? 1 : 0, cue);
    if (this.cues.length > CAPACITY) this.cues.shift();
    return cue;
  }

  /** Forgets everything: another live begins. */
  clear(): void {
    this.cues = [];
  }

  /** What is visible when the picture is at `now`. */
  at(now: number): Shown | null {
    // Cues are few and the newest matter: walk back to the last one that has begun.
    for (let index = this.cues.length - 1; index >= 0; index -= 1) {
      const cue = this.cues[index];
      if (cue === undefined || cue.start > now) continue;
      const reached = reachedBy(cue, now);
      if (reached.length === 0) continue;
      return now < expiry(cue) ? { cue, pieces: reached } : null;
    }
    return null;
  }

  private place(id: number): number {
    let index = this.cues.length;
    while (index > 0 && (this.cues[index - 1]?.id ?? 0) >= id) index -= 1;
    return index;
  }
}

/** The pieces of a cue that the picture has reached. */
export function reachedBy(cue: TimelineCue, now: number): Piece[] {
  // Times of words may be out of order in a bad hypothesis; the text's order rules.
  let last = -1;
  cue.pieces.forEach((piece, index) => {
    if (piece.start <= now) last = index;
  });
  return cue.pieces.slice(0, last + 1);
}

/** When a cue goes if nothing replaces it: after its end, and not before it can have been read. */
function expiry(cue: TimelineCue): number {
  const characters = cue.pieces.reduce((sum, piece) => sum + piece.text.length, 0);
  return Math.max(cue.end, cue.appeared + Math.max(1, characters / READING)) + HOLD;
}
