import { describe, expect, it } from 'vitest';

import { Ahead } from '../src/captions/ahead';
import { Lag } from '../src/captions/lag';
import type { CueEvent } from '../src/captions/wire';
import { Ear } from '../src/studio/meter';

const cue = (id: number, text: string, end: number): CueEvent =>
  ({ type: 'cue', lang: 'en', id, rev: text.length, final: false, start: 0, end, text, stable_len: 0 });

describe('how late words come', () => {
  it('counts words that are new, not revisions that only change what was there', () => {
    const lag = new Lag();
    for (let word = 1; word <= 10; word += 1) lag.took(cue(1, 'x'.repeat(word), word), word + 0.8);
    expect(lag.centile(0.5)).toBeCloseTo(0.8);
    for (let times = 0; times < 50; times += 1) lag.took(cue(1, 'y'.repeat(9), 9), 60);
    expect(lag.centile(0.9)).toBeCloseTo(0.8);
  });

  it('says nothing before it has heard enough, and forgets', () => {
    const lag = new Lag();
    lag.took(cue(1, 'word', 1), 2);
    expect(lag.centile(0.5)).toBeNull();
    for (let id = 2; id < 90; id += 1) lag.took(cue(id, 'word', id), id + (id < 50 ? 9 : 1));
    expect(lag.centile(0.9)).toBeCloseTo(1);
    lag.clear();
    expect(lag.centile(0.5)).toBeNull();
  });
});

describe('how many words are there before the picture', () => {
  const said = (id: number, text: string, stable: number, change: Partial<CueEvent> = {}): CueEvent =>
    ({ ...cue(id, text, id + 1), start: id, stable_len: stable, ...change });
  const words = ['now', 'then'].map((text, nth) => ({ text, start: nth / 2, end: (nth + 1) / 2 }));

  it('counts each word once, when it is there for good, against its own end', () => {
    const ahead = new Ahead();
    for (let id = 0; id < 20; id += 1) {
      const timed = words.map((word) => ({ ...word, start: id + word.start, end: id + word.end }));
      // A guess counts for nothing, however early; the first word comes in time, the second does not.
      ahead.took(said(id, 'now then', 0, { words: timed }), id - 5);
      ahead.took(said(id, 'now then', 3, { words: timed }), id + 0.4);
      ahead.took(said(id, 'now then', 8, { words: timed }), id + 1.2);
      ahead.took(said(id, 'now then', 8, { words: timed, final: true }), id + 0.1);
    }
    expect(ahead.share).toBeCloseTo(0.5);
  });

  it('spreads words without times over their cue, and takes the rest of a cue that is final', () => {
    const ahead = new Ahead();
    for (let id = 0; id < 20; id += 1) ahead.took(said(id, 'ção três dois', 3, { final: true }), id + 0.5);
    expect(ahead.share).toBeCloseTo(2 / 3);
  });

  it('says nothing of few words, and forgets', () => {
    const ahead = new Ahead();
    for (let id = 0; id < 19; id += 1) ahead.took(said(id, 'word', 4), id);
    expect(ahead.share).toBeNull();
    for (let id = 20; id < 400; id += 1) ahead.took(said(id, 'word', 4), id + 9);
    expect(ahead.share).toBe(0);
    ahead.clear();
    expect(ahead.share).toBeNull();
  });
});

describe('what is wrong with the sound', () => {
  it('is told when nothing is heard for a while, and when it is too loud', () => {
    const ear = new Ear();
    expect(ear.listen(-Infinity, 0)).toBe('fine');
    expect(ear.listen(-70, 5900)).toBe('fine');
    expect(ear.listen(-70, 6100)).toBe('silent');
    expect(ear.listen(-30, 6200)).toBe('fine');
    expect(ear.listen(-3, 6300)).toBe('loud');
    expect(ear.listen(-30, 8400)).toBe('fine');
  });
});
