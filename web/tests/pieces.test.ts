import { describe, expect, it } from 'vitest';

import { pieces } from '../src/captions/pieces';

const cue = (text: string, words: [string, number][], stable = 0, final = false) => ({
  text, start: 10, end: 20, stable_len: stable, final,
  words: words.map(([word, start]) => ({ text: word, start, end: start + 0.4 })),
});

describe('pieces', () => {
  it('takes times from the words and the writing from the text', () => {
    const cut = pieces(cue('Hello, World.', [['hello', 10], ['world', 11]]));
    expect(cut.map(({ text, start }) => [text, start])).toEqual([['Hello,', 10], [' World.', 11]]);
  });

  it('gives the text back when joined', () => {
    const text = '“The waves” — two of them — cancel.';
    const cut = pieces(cue(text, [['the', 10], ['waves', 11], ['two', 12], ['of', 13], ['them', 14], ['cancel', 15]]));
    expect(cut.map((piece) => piece.text).join('')).toBe(text);
  });

  it('cuts a script without spaces', () => {
    const cut = pieces(cue('你好世界', [['你好', 10], ['世界', 11]]));
    expect(cut.map(({ text, start }) => [text, start])).toEqual([['你好', 10], ['世界', 11]]);
  });

  it('counts the stable prefix in Unicode scalar values', () => {
    const cut = pieces(cue('𝜆 grows fast', [['𝜆', 10], ['grows', 11], ['fast', 12]], 7));
    expect(cut.map(({ stable }) => stable)).toEqual([true, true, false]);
  });

  it('falls back to as many tokens when the words are written otherwise', () => {
    const cut = pieces(cue('340 meters', [['three-forty', 10], ['metres', 12]]));
    expect(cut.map(({ text, start }) => [text, start])).toEqual([['340', 10], [' meters', 12]]);
  });

  it('shows a text without matching words whole at its start', () => {
    for (const [text, words] of [['Bom dia a todos', []], ['one two three', [['four', 11]]]] as [string, [string, number][]][]) {
      const cut = pieces(cue(text, words));
      expect(cut.map((piece) => piece.text).join('')).toBe(text);
      expect(cut.every(({ start }) => start === 10)).toBe(true);
    }
  });

  it('rolls in what does not fit on the screen', () => {
    const text = Array.from({ length: 30 }, (_, i) => `palavra${i}`).join(' ');
    const cut = pieces(cue(text, []));
    expect(cut.map((piece) => piece.text).join('')).toBe(text);
    expect(cut[0]?.start).toBe(10);
    expect(cut.at(-1)?.start).toBeGreaterThan(17);
    expect(cut.at(-1)?.start).toBeLessThan(20);
  });

  it('survives empty and odd input', () => {
    expect(pieces(cue('', []))).toEqual([]);
    expect(pieces(cue('İstanbul güzel', [['İstanbul', 10], ['güzel', 11]]))).toHaveLength(2);
  });

  it('rolls in what does not fit on the screen, counting wide characters twice', () => {
    const wide = pieces(cue('字'.repeat(80), []));
    expect(wide.findIndex(({ start }) => start > 10)).toBe(42);
    expect(wide.at(-1)?.start).toBeGreaterThan(17);
    expect(pieces(cue('x'.repeat(80), [])).every(({ start }) => start === 10)).toBe(true);
  });

  it('keeps a mark at its word where a space holds it there, whatever the words are', () => {
    const said = '«\u00A0Les ondes\u00A0»\u00A0: vraiment\u202F?';
    for (const words of [['«\u00A0Les', 'ondes\u00A0»\u00A0:', 'vraiment\u202F?'], ['Les', 'ondes', 'vraiment'],
      ['«', 'Les', 'ondes', '»', ':', 'vraiment', '?'], []]) {
      const cut = pieces(cue(said, words.map((word, index) => [word, 10 + index])));
      expect(cut.map(({ text }) => text)).toEqual(['«\u00A0Les', ' ondes\u00A0»\u00A0:', ' vraiment\u202F?']);
    }
  });
});
