import type { WireWord } from './wire';
import { breakable, glued, screenful, widthOf } from './wrap';

/** Columns that words which roll in stand there before they are read: no more than a line, or they push out what is not. */
export const LEAD = 30;

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
  return (timed(cue) ?? rolling(cue)).map(({ text, from, start }) => ({
    text,
    start,
    stable: cue.final || scalars(cue.text.slice(0, from + text.length).trimEnd()) <= cue.stable_len,
  }));
}

/** Whether a cue's words have times of their own. */
export function isTimed(cue: Timed): boolean {
  return timed(cue) !== null;
}

interface Cut {
  text: string;
  from: number;
  start: number;
}

/** The text at its words' times, null where they do not match it. */
function timed({ text, words = [] }: Timed): Cut[] | null {
  return words.length === 0 ? null : (locate(text, words) ?? matching(text, words));
}

/** The text's tokens at the words' times if there are as many. */
function matching(text: string, words: readonly WireWord[]): Cut[] | null {
  const cuts = tokens(text);
  if (cuts.length !== words.length) return null;
  return cuts.map((cut, index) => ({ ...cut, start: words[index]?.start ?? 0 }));
}

/** The text for somebody who reads it evenly over the cue's length: at each word that rolls in, what it pushes out has been read. */
function rolling(cue: Timed): Cut[] {
  const cuts = tokens(cue.text);
  const fitting = screenful(cuts);
  const whole = widthOf(cue.text);
  return cuts.map((cut, index) => {
    const read = index < fitting ? 0 : Math.max(0, widthOf(cue.text.slice(0, cut.from)) - LEAD) / whole;
    return { ...cut, start: cue.start + Math.max(0, cue.end - cue.start) * read };
  });
}

/** Cuts where each word is found in turn; null unless all are. What lies between goes to the word before it. */
function locate(text: string, words: readonly WireWord[]): Cut[] | null {
  const lower = text.toLocaleLowerCase();
  if (lower.length !== text.length) return null;
  const found: { from: number; start: number }[] = [];
  let from = 0;
  for (const word of words) {
    const needle = word.text.trim().toLocaleLowerCase();
    const at = lower.indexOf(needle, from);
    if (needle === '' || at < 0) return null;
    // A mark that French keeps at its word by a space comes with it.
    if (found.length === 0 || !glued(text, at)) found.push({ from: found.length === 0 ? 0 : spaceBefore(text, at), start: word.start });
    from = at + needle.length;
  }
  return found.map((cut, index) => ({ ...cut, text: text.slice(cut.from, found[index + 1]?.from) }));
}

function spaceBefore(text: string, at: number): number {
  return /\s/.test(text.charAt(at - 1)) ? at - 1 : at;
}

/** Cuts wherever a line may break. */
function tokens(text: string): Omit<Cut, 'start'>[] {
  let from = 0;
  return breakable(text).map((part) => {
    const at = text.indexOf(part, from);
    from = at + part.length;
    return { text: part, from: at };
  });
}

/** Characters as the server counts them: Unicode scalar values. */
export function scalars(text: string): number {
  return Array.from(text).length;
}
