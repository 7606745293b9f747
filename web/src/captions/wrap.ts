import type { Piece } from './pieces';

/** Characters a caption line holds; wide ones (Han, kana, Hangul) count twice. */
export const LINE = 42;
/** Lines a caption holds. */
export const LINES = 2;

/**
 * Pieces as lines: full lines from the start, so that a line never changes when words are added
 * after it, and of those the last `lines`.
 */
export function wrap(all: readonly Piece[], width = LINE, lines = LINES): Piece[][] {
  const wrapped: Piece[][] = [];
  let line: Piece[] = [];
  let used = 0;
  for (const piece of all.flatMap((long) => split(long, width))) {
    const starting = line.length === 0;
    const text = starting ? piece.text.trimStart() : piece.text;
    if (!starting && used + widthOf(text) > width) {
      wrapped.push(line);
      const first = piece.text.trimStart();
      line = [{ ...piece, text: first }];
      used = widthOf(first);
    } else {
      line.push({ ...piece, text });
      used += widthOf(text);
    }
  }
  if (line.length > 0) wrapped.push(line);
  return wrapped.slice(-lines);
}

/** Columns a text takes. */
export function widthOf(text: string): number {
  let columns = 0;
  for (const character of text) columns += isWide(character) ? 2 : 1;
  return columns;
}

/** A piece that holds several words (a cue without word times) as one piece a word. */
function split(piece: Piece, width: number): Piece[] {
  const words = piece.text.match(/\s*\S+/gu) ?? [];
  return words.flatMap((text) => cut(text, width)).map((text) => ({ ...piece, text }));
}

/** A word that is longer than a line, in parts that fit: text without spaces, a pasted address. */
function cut(text: string, width: number): string[] {
  if (widthOf(text) <= width) return [text];
  const parts: string[] = [];
  let part = '';
  for (const character of text) {
    if (widthOf(part + character) > width) {
      parts.push(part);
      part = '';
    }
    part += character;
  }
  return part === '' ? parts : [...parts, part];
}

function isWide(character: string): boolean {
  return /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6]/u.test(character);
}
