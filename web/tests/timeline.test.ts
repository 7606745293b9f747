import { describe, expect, it } from 'vitest';

import { CueTimeline } from '../src/captions/timeline';
import type { CueEvent } from '../src/captions/wire';
import { wrap } from '../src/captions/wrap';

function event(id: number, rev: number, start: number, end: number, text: string, more: Partial<CueEvent> = {}): CueEvent {
  const tokens = text.split(' ');
  const each = (end - start) / tokens.length;
  return {
    type: 'cue', lang: 'en', id, rev, final: false, start, end, text, stable_len: 0, source: 'asr',
    words: tokens.map((word, i) => ({ text: word, start: start + i * each, end: start + (i + 1) * each })),
    ...more,
  };
}

const visible = (timeline: CueTimeline, now: number): string | null => {
  const shown = timeline.at(now);
  return shown === null ? null : shown.pieces.map((piece) => piece.text).join('');
};

describe('the cue timeline', () => {
  it('shows a word when the picture reaches it, not when the text arrives', () => {
    const timeline = new CueTimeline();
    timeline.apply(event(1, 0, 10, 13, 'waves add together'));
    expect(visible(timeline, 9.9)).toBeNull();
    expect(visible(timeline, 10)).toBe('waves');
    expect(visible(timeline, 11.5)).toBe('waves add');
    expect(visible(timeline, 12.5)).toBe('waves add together');
  });

  it('replaces a revision by a higher one and ignores a lower one', () => {
    const timeline = new CueTimeline();
    timeline.apply(event(1, 2, 10, 12, 'two waves'));
    expect(timeline.apply(event(1, 1, 10, 12, 'two caves'))).toBeNull();
    timeline.apply(event(1, 3, 10, 12, 'two waters'));
    expect(visible(timeline, 12)).toBe('two waters');
    expect(timeline.all).toHaveLength(1);
  });

  it('holds a cue a while after its end, then takes it away', () => {
    const timeline = new CueTimeline();
    timeline.apply(event(1, 0, 10, 12, 'hello there'));
    expect(visible(timeline, 13)).toBe('hello there');
    expect(visible(timeline, 14)).toBeNull();
  });

  it('gives way to the next cue at its first word', () => {
    const timeline = new CueTimeline();
    timeline.apply(event(1, 0, 10, 12, 'first'));
    timeline.apply(event(2, 0, 12.2, 14, 'second one'));
    expect(visible(timeline, 12.1)).toBe('first');
    expect(visible(timeline, 12.3)).toBe('second');
  });

  it('leaves a short cue of a recording long enough to be read', () => {
    const timeline = new CueTimeline();
    timeline.apply(event(1, 0, 10, 10.2, 'said very fast and yet readable', { words: [] }));
    expect(visible(timeline, 13)).toBe('said very fast and yet readable');
    expect(visible(timeline, 13.1)).toBeNull();
  });

  it('shows the cue before one that was withdrawn', () => {
    const timeline = new CueTimeline();
    timeline.apply(event(1, 0, 10, 12, 'said'));
    timeline.apply(event(2, 0, 12, 14, 'never said'));
    timeline.apply(event(2, 1, 12, 14, ''));
    expect(visible(timeline, 13)).toBe('said');
    expect(visible(timeline, 14)).toBeNull();
  });

  it('puts a late id in its place and knows the last one', () => {
    const timeline = new CueTimeline();
    timeline.apply(event(1, 0, 1, 2, 'a'));
    timeline.apply(event(3, 0, 5, 6, 'c'));
    timeline.apply(event(2, 0, 3, 4, 'b'));
    expect(timeline.all.map(({ id }) => id)).toEqual([1, 2, 3]);
    expect(timeline.lastId).toBe(3);
    timeline.clear();
    expect(timeline.lastId).toBeNull();
  });

  it('forgets the oldest cues of an endless lecture', () => {
    const timeline = new CueTimeline();
    for (let id = 0; id < 9000; id += 1) timeline.apply(event(id, 0, id, id + 1, 'x'));
    expect(timeline.all).toHaveLength(8000);
    expect(timeline.all[0]?.id).toBe(1000);
  });

  it('marks words beyond the stable prefix', () => {
    const timeline = new CueTimeline();
    timeline.apply(event(1, 0, 10, 12, 'two waves', { stable_len: 3 }));
    expect(timeline.at(12)?.pieces.map(({ stable }) => stable)).toEqual([true, false]);
    timeline.apply(event(1, 1, 10, 12, 'two waves', { final: true, stable_len: 9 }));
    expect(timeline.at(12)?.pieces.map(({ stable }) => stable)).toEqual([true, true]);
  });

  const CHINESE = Array.from({ length: 84 }, (_, index) => String.fromCodePoint(0x4e00 + index)).join('');
  const KOREAN = '음성 인식과 번역을 함께 쓰는 강의 자막은 두 줄을 넘는 일이 아주 잦아서 첫 줄을 잃지 않아야 합니다';

  it.each([
    ['Chinese', CHINESE, 10, 100], ['Korean', KOREAN, 5.5, 5.5],
    ['Chinese, said too fast', CHINESE, 3, 100], ['Chinese, said too fast before the next one', CHINESE, 3, 9],
  ])('shows every line of a recording’s wide cue as long as reading takes, in order: %s', (_, text, length, next) => {
    const timeline = new CueTimeline();
    timeline.apply(event(1, 0, 10, 10 + length, text, { words: [] }));
    timeline.apply(event(2, 0, 10 + next, 12 + next, 'next', { words: [] }));
    const shows = new Map<string, number>();
    for (let tick = 0; tick < (next + 1) * 20; tick += 1) {
      const shown = timeline.at(10 + tick / 20);
      for (const line of shown === null ? [] : wrap(shown.pieces)) {
        for (const character of line.map((piece) => piece.text).join('')) shows.set(character, (shows.get(character) ?? 0) + 1 / 20);
      }
    }
    const seen = [...shows].filter(([character]) => !'next '.includes(character));
    expect(seen.map(([character]) => character).join('')).toBe([...new Set(text.replaceAll(' ', ''))].join(''));
    for (const [character, seconds] of seen) expect(seconds, character).toBeGreaterThan(1.4);
  });
});
