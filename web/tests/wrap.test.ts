import { describe, expect, it } from 'vitest';

import { LINE, widthOf, wrap } from '../src/captions/wrap';

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
});
