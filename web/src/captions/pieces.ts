import type { WireWord } from './wire';
import { LINE, LINES } from './wrap';

/** Characters that certainly fit on the screen, whatever wrapping wastes. */
export const SCREEN = LINE * LINES - 12;

/** A stretch of a cue's text that appears at one moment. */
export interface Piece {
  /** With the space before it, so that joining pieces gives the text back. */
  text: string;
  /** Seconds; when the picture reaches it. */
  start: number;
  /** Whether no revision will change it. */
  stable: boolean;
}

/** What `pieces` needs of a cue. */
export interface Timed {
  text: string;
  start: number;
  end: number;
  stable_len: number;
  final: boolean;
  words?: WireWord[];
}

/**
 * A cue's text cut at its words.
 *
 * The text rules (it carries punctuation and casing), the words only give times. Where they do not
 * match, a text of as many tokens takes the words' times in order; otherwise, and for a cue without
 * words, the text appears at the cue's start, and what does not fit on the screen rolls in evenly
 * until its end. A cue that was withdrawn has no text and no pieces.
 */
export function pieces(cue: Timed): Piece[] {
  const words = cue.words ?? [];
  const cuts = words.length > 0 ? (locate(cue.text, words) ?? matching(cue.text, words.length)) : null;
  return (cuts ?? tokens(cue.text)).map((cut, index) => ({
    text: cut.text,
    start: cuts === null ? rollIn(cue, cut.from) : (words[index]?.start ?? cue.start),
    stable: cue.final || scalars(cue.text.slice(0, cut.from + cut.text.length).trimEnd()) <= cue.stable_len,
  }));
}

/** The text's tokens if there are `count` of them. */
function matching(text: string, count: number): Cut[] | null {
  const cuts = tokens(text);
  return cuts.length === count ? cuts : null;
}

/** When a word appears that begins at `from` and has no time of its own. */
function rollIn(cue: Timed, from: number): number {
  if (from < SCREEN) return cue.start;
  const beyond = (from - SCREEN) / (cue.text.length - SCREEN);
  return cue.start + (cue.end - cue.start) * (0.3 + 0.6 * beyond);
}

interface Cut {
  text: string;
  from: number;
}

/** Cuts where each word is found in turn; null unless all are. What lies between goes to the word before it. */
function locate(text: string, words: readonly WireWord[]): Cut[] | null {
  const lower = text.toLocaleLowerCase();
  if (lower.length !== text.length) return null;
  const starts: number[] = [];
  let from = 0;
  for (const word of words) {
    const needle = word.text.trim().toLocaleLowerCase();
    const at = lower.indexOf(needle, from);
    if (needle === '' || at < 0) return null;
    starts.push(at);
    from = at + needle.length;
  }
  return starts.map((start, index) => {
    const begin = index === 0 ? 0 : spaceBefore(text, start);
    const next = starts[index + 1];
    return { text: text.slice(begin, next === undefined ? undefined : spaceBefore(text, next)), from: begin };
  });
}

function spaceBefore(text: string, at: number): number {
  return /\s/.test(text.charAt(at - 1)) ? at - 1 : at;
}

/** Cuts at spaces. */
function tokens(text: string): Cut[] {
  return [...text.matchAll(/\s?\S+/gu)].map((match) => ({ text: match[0], from: match.index }));
}

function scalars(text: string): number {
  return Array.from(text).length;
}
