import type { WireWord } from './wire';

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
 * words, the whole text appears at the cue's start.
 */
export function pieces(cue: Timed): Piece[] {
  const words = cue.words ?? [];
  const cuts = words.length > 0 ? (locate(cue.text, words) ?? tokens(cue.text, words.length)) : null;
  const whole = [{ text: cue.text.trim(), from: 0 }];
  let end = 0;
  return (cuts ?? whole).map((cut, index) => {
    end = cut.from + cut.text.length;
    return {
      text: cut.text,
      start: cuts === null ? cue.start : (words[index]?.start ?? cue.start),
      stable: cue.final || scalars(cue.text.slice(0, end).trimEnd()) <= cue.stable_len,
    };
  });
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

/** Cuts at spaces; null unless that gives `count` tokens. */
function tokens(text: string, count: number): Cut[] | null {
  const cuts = [...text.matchAll(/\s?\S+/gu)].map((match) => ({ text: match[0], from: match.index }));
  return cuts.length === count ? cuts : null;
}

function scalars(text: string): number {
  return Array.from(text).length;
}
