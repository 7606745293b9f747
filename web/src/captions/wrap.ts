import type { Piece } from './pieces';

/** Characters a caption line holds; wide ones (Han, kana, Hangul) count twice. */
export const LINE = 42;
/** Lines a caption holds. */
export const LINES = 2;

// French keeps its marks at their words by spaces that do not break, which `\s` takes for any other.
const HOLDING = '[\u00A0\u202F]';
const BREAKING = '[^\\S\u00A0\u202F]';
/** A word with the spaces before it at which a line may break. */
const WORD = new RegExp(`${BREAKING}*(?:\\S|${HOLDING})+`, 'gu');
/** Marks that never begin a line stay with the character before them, opening ones with the one behind. */
const OPENING = `(?:[\\p{Ps}\\p{Pi}]${HOLDING}?){0,3}`;
const TAIL = `(?:${HOLDING}?[\\p{M}\\p{Pe}\\p{Pf}\\p{Po}ー]){0,6}`;
const IDEOGRAPH = `${OPENING}[\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}]${TAIL}`;
/** Between ideographs a line may break, within a run of anything else not. */
const RUN = new RegExp(`${BREAKING}?(?:${IDEOGRAPH}|(?:(?!${IDEOGRAPH}).)+)`, 'gsu');
/** What even a word that is longer than a line is not cut in. */
const UNIT = new RegExp(`${BREAKING}?${OPENING}(?:\\S${TAIL}(?:${HOLDING}\\S${TAIL}){0,6}|.)`, 'gsu');

/**
 * Pieces as lines: full lines from the start, so that a line never changes when words are added
 * after it, and of those the last `lines`.
 */
export function wrap(all: readonly Piece[], width = LINE, lines = LINES): Piece[][] {
  const wrapped: Piece[][] = [];
  let last = -1;
  for (const { index, text, line } of lay(all, width)) {
    const row = (wrapped[line] ??= []);
    const before = row.at(-1);
    const piece = all[index];
    if (before !== undefined && index === last) before.text += text;
    else if (piece !== undefined) row.push({ ...piece, text });
    last = index;
  }
  return wrapped.slice(-lines);
}

/** How many of the first texts stand wholly on the screen, before anything has rolled up. */
export function screenful(all: readonly { text: string }[]): number {
  return lay(all, LINE).find(({ line }) => line >= LINES)?.index ?? all.length;
}

/** Columns a text takes. */
export function widthOf(text: string): number {
  let columns = 0;
  for (const character of text) columns += isWide(character) ? 2 : 1;
  return columns;
}

/**
 * A text cut where a line may break, each part with the space before it: at spaces, between the
 * characters of scripts that write none, and what is longer than a line anywhere.
 */
export function breakable(text: string): string[] {
  const runs = (text.match(WORD) ?? []).flatMap((word) => word.match(RUN) ?? []);
  return runs.flatMap((run) => (widthOf(run.trimStart()) <= LINE ? [run] : (run.match(UNIT) ?? [])));
}

/** Single spaces where a line may break, none at the ends. */
export function spaced(text: string): string {
  return text.replace(new RegExp(`${BREAKING}+`, 'gu'), ' ').trim();
}

/** Whether nothing may break before the character at `at`. */
export function glued(text: string, at: number): boolean {
  return new RegExp(HOLDING, 'u').test(text.slice(Math.max(0, at - 1), at + 1));
}

/** A part of the text `index`, on its line. */
interface Part {
  index: number;
  text: string;
  line: number;
}

function lay(all: readonly { text: string }[], width: number): Part[] {
  let line = 0;
  let used = 0;
  return all.flatMap(({ text }, index) => breakable(text).map((part) => {
    const rest = part.trimStart();
    if (used > 0 && used + widthOf(part) > width) {
      line += 1;
      used = 0;
    }
    const shown = used === 0 ? rest : part;
    used += widthOf(shown);
    return { index, text: shown, line };
  }));
}

function isWide(character: string): boolean {
  return /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6]/u.test(character);
}
