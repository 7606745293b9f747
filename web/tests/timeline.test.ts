import { describe, expect, it } from 'vitest';

import { CueTimeline } from '../src/captions/timeline';
import type { CueEvent } from '../src/captions/wire';

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
});
