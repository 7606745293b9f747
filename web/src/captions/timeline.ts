import { isTimed, type Piece, pieces } from './pieces';
import type { CueEvent } from './wire';
import { widthOf } from './wrap';

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
  /** The words have times of their own; otherwise the text may be shown at any pace. */
  timed: boolean;
  /** In order; none if the cue was withdrawn. */
  pieces: Piece[];
}

/** What stands over the picture. */
export interface Shown {
  cue: TimelineCue;
  /** The pieces the picture has reached, in order. */
  pieces: Piece[];
  /** What stood there before and rolls up to make room: the phrase before, whole. */
  above?: Piece[];
}

/** Seconds a cue stays after its end or after it was read, unless another replaces it. */
export const HOLD = 1.5;
/** Seconds the shortest text takes to be noticed and read. */
export const GLANCE = 1;
/** Columns a second that people read: 20 letters, 10 characters of a wide script. */
const READING = 20;
/** Cues kept; older ones are forgotten. */
const CAPACITY = 8000;

/** Seconds it takes to read a text. */
export function readingTime(text: string): number {
  return widthOf(text) / READING;
}

/**
 * The cues of one track, in order, and what of them belongs to a moment of the picture.
 *
 * Pure: time is an argument, in seconds on the stream's timeline. It shows a recording as it is;
 * what comes too late in a live is for the `Stage` to show.
 */
export class CueTimeline {
  private cues: TimelineCue[] = [];

  /** The highest id seen. */
  get lastId(): number | null {
    return this.cues.at(-1)?.id ?? null;
  }

  /** All cues, oldest first. */
  get all(): readonly TimelineCue[] {
    return this.cues;
  }

  /** Takes a cue or a revision. Returns the cue as it stands, null for a revision older than what is known. */
  apply(event: CueEvent): TimelineCue | null {
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
      timed: isTimed(event),
      pieces: pieces(event),
    };
    this.cues.splice(at, replaces ? 1 : 0, cue);
    if (this.cues.length > CAPACITY) this.cues.shift();
    return cue;
  }

  /** Forgets everything: another live begins. */
  clear(): void {
    this.cues = [];
  }

  /** The cue with this id, null if there is none. */
  get(id: number): TimelineCue | null {
    const cue = this.cues[this.place(id)];
    return cue?.id === id ? cue : null;
  }

  /** The first cue after `id` that the picture has begun to speak at `now`, null if there is none. */
  after(id: number, now: number): TimelineCue | null {
    for (let index = this.place(id); index < this.cues.length; index += 1) {
      const cue = this.cues[index];
      if (cue !== undefined && cue.id > id && reachedBy(cue, now).length > 0) return cue;
    }
    return null;
  }

  /** The last cue that the picture has begun to speak at `now`, null if there is none. */
  latest(now: number): TimelineCue | null {
    // Cues are few and the newest matter: walk back to the last one that has begun.
    for (let index = this.cues.length - 1; index >= 0; index -= 1) {
      const cue = this.cues[index];
      if (cue !== undefined && reachedBy(cue, now).length > 0) return cue;
    }
    return null;
  }

  /** What is visible when the picture is at `now` and every cue was there in time. */
  at(now: number): Shown | null {
    const cue = this.latest(now);
    if (cue === null) return null;
    const reading = readingTime(textOf(cue.pieces));
    const over = Math.max(cue.end, cue.start + Math.max(GLANCE, reading)) + HOLD;
    if (now >= over) return null;
    // What rolls in takes the time it needs, where the next cue leaves that.
    const length = cue.end - cue.start;
    const room = Math.min(reading, (this.after(cue.id, Infinity)?.start ?? Infinity) - cue.start);
    const slower = cue.timed || room <= length ? 1 : length / room;
    return { cue, pieces: reachedBy(cue, cue.start + (now - cue.start) * slower) };
  }

  /** Where a cue of this id is or belongs. */
  private place(id: number): number {
    let index = this.cues.length;
    while (index > 0 && (this.cues[index - 1]?.id ?? 0) >= id) index -= 1;
    return index;
  }
}

/** The text of pieces, joined. */
export function textOf(pieces: readonly Piece[]): string {
  return pieces.map((piece) => piece.text).join('');
}

/** The pieces of a cue that the picture has reached. */
export function reachedBy(cue: TimelineCue, now: number): Piece[] {
  if (cue.start > now) return [];
  // Times of words may be out of order in a bad hypothesis; the text's order rules.
  let last = -1;
  cue.pieces.forEach((piece, index) => {
    if (piece.start <= now) last = index;
  });
  return cue.pieces.slice(0, last + 1);
}
