import { describe, expect, it } from 'vitest';

import { breakable, LINE, spaced, widthOf, wrap } from '../src/captions/wrap';

const piece = (text: string) => ({ text, start: 0, stable: true });
const words = (text: string) => text.split(' ').map((word, i) => piece(i === 0 ? word : ` ${word}`));
const lines = (text: string) => wrap(words(text)).map((line) => line.map((part) => part.text).join(''));

describe('wrapping', () => {
  const sentence = 'If the wavelength is two meters and three crests pass every second, the wave travels at six meters per second.';

  it('keeps lines within 42 characters and at most two', () => {
    const wrapped = lines(sentence);
    expect(wrapped).toHaveLength(2);
    for (const line of wrapped) expect(line.length).toBeLessThanOrEqual(LINE);
    expect(wrapped.at(-1)).toMatch(/per second\.$/);
  });

  it('never moves a word to another line when words are added', () => {
    const all = words(sentence);
    const whole = wrap(all, LINE, 99).map((line) => line.map((part) => part.text).join(''));
    for (let count = 1; count <= all.length; count += 1) {
      const some = wrap(all.slice(0, count), LINE, 99).map((line) => line.map((part) => part.text).join(''));
      expect(some.slice(0, -1)).toEqual(whole.slice(0, some.length - 1));
      expect(whole[some.length - 1]?.startsWith(some.at(-1) ?? '')).toBe(true);
    }
  });

  it('splits a piece of several words and a word longer than a line', () => {
    expect(wrap([piece('When two waves meet, they add together, and so on and on')])).toHaveLength(2);
    const long = wrap([piece('x'.repeat(60))]);
    expect(long.map((line) => line.map((part) => part.text).join('').length)).toEqual([42, 18]);
  });

  it('counts wide characters twice', () => {
    expect(widthOf('음성')).toBe(4);
    const text = '안녕하세요 오늘은 인공지능에 대해서 강의를 하겠습니다';
    for (const line of lines(text)) expect(widthOf(line)).toBeLessThanOrEqual(LINE);
    expect(wrap([piece('字'.repeat(50))], LINE, 9)).toHaveLength(3);
  });

  it('makes nothing of nothing', () => {
    expect(wrap([])).toEqual([]);
    expect(wrap([piece('')])).toEqual([]);
  });

  it('breaks between ideographs, not before a mark nor in another script', () => {
    expect(breakable('「波が」水を、AI模型 AI')).toEqual(['「波', 'が」', '水', 'を、', 'AI', '模', '型', ' AI']);
    expect(breakable('음성 인식')).toEqual(['음성', ' 인식']);
    const mixed = `AI ${'字'.repeat(40)}`;
    expect(wrap([piece(mixed)], LINE, 9).map((line) => widthOf(line.map(({ text }) => text).join('')))).toEqual([41, 42]);
  });

  it('breaks a long run of a script with marks not before a mark', () => {
    const parts = breakable('กี่'.repeat(30));
    expect(parts).toHaveLength(30);
    expect(parts.join('')).toBe('กี่'.repeat(30));
  });

  it.each(['\u00A0', '\u202F'])('never breaks a line at a space that is to hold (%j)', (space) => {
    const said = `Il a demandé à tous «${space}pourquoi les ondes${space}»${space}: savez-vous${space}? Oui${space}!`;
    expect(breakable(said).join('')).toBe(said);
    for (let before = 0; before < LINE; before += 1) {
      for (const line of wrap([piece(`${'x'.repeat(before)} ${said}`)], LINE, 9)) {
        const text = line.map((part) => part.text).join('');
        expect(text).not.toMatch(/^[»?!:\s]|[«\s]$/u);
      }
    }
    const long = breakable(`«${space}${'x'.repeat(50)}${space}»${space}: 1${space}000${space}${'y'.repeat(50)}`);
    expect(long.filter((part) => part.trim() !== part.trimStart() || part.startsWith(space))).toEqual([]);
    expect(spaced(` a \n b${space}!`)).toBe(`a b${space}!`);
  });
});
