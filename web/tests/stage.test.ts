import { describe, expect, it } from 'vitest';

import { Stage } from '../src/captions/stage';
import { CueTimeline } from '../src/captions/timeline';
import type { CueEvent } from '../src/captions/wire';
import { LINE, wrap } from '../src/captions/wrap';

/** What comes when (seconds of the clock, which is the picture's place as well). */
type Arrival = [at: number, cue: CueEvent];

function translated(id: number, rev: number, start: number, end: number, text: string): CueEvent {
  return { type: 'cue', lang: 'pt', id, rev, final: false, start, end, text, stable_len: 0, words: [], source: 'mt' };
}

function spoken(id: number, rev: number, start: number, end: number, text: string): CueEvent {
  const tokens = text.split(' ');
  const each = (end - start) / tokens.length;
  const words = tokens.map((word, i) => ({ text: word, start: start + i * each, end: start + (i + 1) * each }));
  return { type: 'cue', lang: 'en', id, rev, final: false, start, end, text, stable_len: 0, words, source: 'asr' };
}

/** Every text shown with when it came and went, drawn every 50 ms from `from` to `to`. */
function play(arrivals: Arrival[], from: number, to: number): { text: string; from: number; to: number }[] {
  const timeline = new CueTimeline();
  const stage = new Stage(timeline);
  const waiting = [...arrivals];
  const shown: { text: string; from: number; to: number }[] = [];
  for (let tick = from * 20; tick <= to * 20; tick += 1) {
    const now = tick / 20;
    for (let first = waiting[0]; first !== undefined && first[0] <= now; [first] = waiting) {
      timeline.apply(first[1]);
      waiting.shift();
    }
    const text = stage.at(now, now)?.pieces.map((piece) => piece.text).join('') ?? '';
    const last = shown.at(-1);
    if (last?.text === text) last.to = now;
    else shown.push({ text, from: now, to: now });
  }
  return shown.filter(({ text }) => text !== '');
}

/** A lecture's worth of sentences, each translated as a whole so long after its end. */
function lecture(sentences: string[], delay: number): { arrivals: Arrival[]; end: number } {
  let at = 10;
  const arrivals = sentences.map((text, index): Arrival => {
    const start = at;
    at += text.length / 15;
    return [at + delay, translated(index, 0, start, at, text)];
  });
  return { arrivals, end: at };
}

const SENTENCES = ['A onda viaja a seis metros por segundo.', 'Sim.', 'Por favor, anote isso, porque será no exame.', 'Não.', 'Bom.',
  'A amplitude é a altura de uma crista acima da superfície de repouso.', 'A água sobe e desce, mas não viaja para a costa.', 'Agora, a segunda pergunta.'];

describe('the stage', () => {
  it('keeps words that are there in time in step with the picture, at the next cue as well', () => {
    const shown = play([[8, spoken(1, 0, 10, 13, 'waves add together')], [9, spoken(2, 0, 13, 14, 'so they')]], 9.5, 20);
    expect(shown.map(({ text, from }) => [text, from])).toEqual(
      [['waves', 10], ['waves add', 11], ['waves add together', 12], ['so', 13], ['so they', 13.5]]);
    expect(shown.at(-1)?.to).toBeCloseTo(14 + 1.5, 0);
  });

  it('keeps the phrase before above the one that is built, no longer than one of them stands there', () => {
    const timeline = new CueTimeline();
    const stage = new Stage(timeline);
    const phrases = [spoken(1, 0, 10, 12, 'the amplitude is'), spoken(2, 0, 12, 14, 'the height'), spoken(3, 0, 14, 15, 'of a crest'), spoken(4, 0, 18, 19, 'Now')];
    for (const phrase of phrases) timeline.apply(phrase);
    let tick = 9 * 20;
    const next = (tick: number): number => {
      stage.at(tick / 20, tick / 20);
      return tick + 1;
    };
    const lines = (now: number): string[] => {
      while (tick < now * 20) tick = next(tick);
      const shown = stage.at(now, now);
      return shown === null ? [] : [shown.above ?? [], shown.pieces].map((line) => line.map(({ text }) => text).join(''));
    };
    expect(lines(10)).toEqual(['', 'the']);
    expect(lines(11.9)).toEqual(['', 'the amplitude is']);
    expect(lines(12.1)).toEqual(['the amplitude is', 'the']);
    timeline.apply(spoken(2, 1, 12, 14, 'the heights'));
    expect(lines(14.1)).toEqual(['the heights', 'of']);
    expect(lines(17)).toEqual([]);
    expect(lines(18.1)).toEqual(['', 'Now']);
  });

  it('shows late words at once', () => {
    const shown = play([[9, spoken(1, 0, 10, 11, 'waves')], [13, spoken(1, 1, 10, 12, 'waves add')]], 9, 14);
    expect(shown[1]?.text).toBe('waves add');
    expect(shown[1]?.from).toBe(13);
  });

  it('shows a translation that comes after its time, long enough to be read', () => {
    const only = play([[9, spoken(0, 0, 8, 9, 'x')], [14, translated(1, 0, 10, 13, 'A onda viaja a seis metros por segundo.')]], 9, 30).at(-1);
    expect(only?.from).toBe(14);
    expect((only?.to ?? 0) - 14).toBeGreaterThan(39 / 20);
  });

  it('leaves out no sentence, gives each its time, keeps their order and catches up', () => {
    const said = Array.from({ length: 10 }, () => SENTENCES).flat();
    const { arrivals, end } = lecture(said, 1);
    const shown = play([[9, spoken(-1, 0, 8, 9, 'x')], ...arrivals], 9, end + 30).filter(({ text }) => text !== 'x');
    expect(shown.map(({ text }) => text)).toEqual(said);
    shown.forEach(({ text, from, to }, index) => {
      expect(to + 0.051 - from).toBeGreaterThanOrEqual(Math.max(1, text.length / 20));
      expect(from - (arrivals[index]?.[0] ?? 0)).toBeLessThan(3.5);
    });
  });

  it('shows several cues that come at once one after the other', () => {
    const text = 'Uma frase muito longa foi dividida em partes';
    const burst = [1, 2, 3].map((id): Arrival => [20, translated(id, 0, 8 + 4 * id, 12 + 4 * id - 0.1, `${text} ${id}`)]);
    const shown = play([[9, translated(0, 0, 8, 10, 'Antes.')], ...burst], 9, 40).filter(({ text }) => text !== 'Antes.');
    expect(shown.map(({ text }) => text)).toEqual([1, 2, 3].map((id) => `${text} ${id}`));
    expect((shown[2]?.from ?? 0) - (shown[0]?.from ?? 0)).toBeGreaterThanOrEqual(2 * 46 / 20);
  });

  it('counts only what is new when a translation grows', () => {
    const grows: Arrival[] = [[12, translated(1, 0, 10, 11.5, 'A onda viaja')], [13.5, translated(1, 1, 10, 13, 'A onda viaja a seis metros.')]];
    const shown = play([[9, translated(0, 0, 8, 9, 'x')], ...grows, [13.6, translated(2, 0, 13, 14, 'Anote.')]], 10, 20);
    const next = shown.find(({ text }) => text === 'Anote.');
    expect(next?.from).toBeGreaterThan(14);
    expect(next?.from).toBeLessThan(14.5);
  });

  it('does not count words again that move, or are written otherwise by a revision', () => {
    const text = ['if the wavelength is two meters and', 'If the wavelength is, two meters and', 'And if the wavelength is two meters', 'If the wavelength is two meters and'];
    const revisions = text.map((said, rev): Arrival => [12 + rev * 0.4, spoken(1, rev, 10, 11.8, said)]);
    const shown = play([[9, spoken(0, 0, 8, 9, 'x')], ...revisions, [12, spoken(2, 0, 12, 12.5, 'three')]], 10, 20);
    expect(shown.find((entry) => entry.text === 'three')?.from).toBeLessThan(12 + 40 / 20);
  });

  it('begins with the newest sentence, not with all that was said before', () => {
    const past = [1, 2, 3, 4].map((id): Arrival => [9, translated(id, 0, id, id + 1, `frase ${id}`)]);
    expect(play(past, 9, 20).map(({ text }) => text)).toEqual(['frase 4']);
  });

  it('is in step at once for somebody who comes in the middle of a sentence', () => {
    const cues: Arrival[] = [[9, spoken(1, 0, 4, 10, 'a long sentence that began long ago and ends now')], [9, spoken(2, 0, 10, 11, 'next')]];
    expect(play(cues, 9, 12).find(({ text }) => text === 'next')?.from).toBe(10);
  });

  it('shows nothing that was said long before', () => {
    expect(play([[9, translated(1, 0, 1, 2, 'antiga')]], 9, 20)).toEqual([]);
  });

  it('starts anew after a jump of the picture', () => {
    const timeline = new CueTimeline();
    const stage = new Stage(timeline);
    for (let id = 0; id < 60; id += 1) timeline.apply(spoken(id, 0, id, id + 0.9, `w${id}`));
    expect(stage.at(10.5, 0)?.cue.id).toBe(10);
    expect(stage.at(40.5, 0.1)?.cue.id).toBe(40);
    expect(stage.at(20.5, 0.2)?.cue.id).toBe(20);
  });

  it('leaves what waits longer than anybody listens to the transcript', () => {
    const burst = Array.from({ length: 12 }, (_, id): Arrival => [60, translated(id + 1, 0, 10 + 4 * id, 13.9 + 4 * id, `Uma frase inteira, número ${id}.`)]);
    const shown = play([[9, translated(0, 0, 8, 10, 'Antes.')], ...burst], 9, 90).map(({ text }) => text);
    expect(shown).not.toContain('Uma frase inteira, número 0.');
    expect(shown.slice(-4)).toEqual([8, 9, 10, 11].map((id) => `Uma frase inteira, número ${id}.`));
  });

  it('takes a withdrawn cue away at once and goes on with the next', () => {
    const arrivals: Arrival[] = [[9, translated(1, 0, 8, 9, 'nunca dito')], [9.2, translated(1, 1, 8, 9, '')], [9.3, translated(2, 0, 9, 9.2, 'dito')]];
    expect(play(arrivals, 9, 20).map(({ text, from }) => [text, from])).toEqual([['nunca dito', 9], ['dito', 9.3]]);
  });

  it('shows all of a text that is longer than the screen at reading pace', () => {
    const long = Array.from({ length: 30 }, (_, i) => `palavra${i}`).join(' ');
    const shown = play([[9, translated(0, 0, 8, 9, 'x')], [14, translated(1, 0, 9, 13, long)]], 10, 60).filter(({ text }) => text !== 'x');
    expect(shown[0]?.text.length).toBeLessThanOrEqual(72);
    expect(shown.at(-1)?.text).toBe(long);
    expect((shown.at(-1)?.from ?? 0) - 14).toBeGreaterThan((long.length - 84) / 20);
  });

  it('shows the words of a script without spaces', () => {
    const [first] = play([[9, translated(0, 0, 8, 9, '波が水を伝わるとき水は岸まで移動しません表面の形だけが移動しますそれだけです')]], 9, 12);
    expect(first?.from).toBe(9);
  });

  it.each([
    ['comes late', 14, 9, 13],
    ['is there in time', 9, 10, 20],
    ['is there in time and was said fast', 9, 10, 11],
  ])('shows every line of a wide text without spaces long enough to be read, in order, when it %s', (_, comes, start, end) => {
    const timeline = new CueTimeline();
    const stage = new Stage(timeline);
    timeline.apply(translated(0, 0, 7, 8, 'x'));
    const text = Array.from({ length: 80 }, (_, index) => String.fromCodePoint(0x4e00 + index)).join('');
    const whole = Array.from({ length: 4 }, (_, line) => text.slice(line * 21, line * 21 + 21));
    const seconds = new Map<string, number>();
    for (let tick = 7 * 20; tick < 40 * 20; tick += 1) {
      const now = tick / 20;
      if (now === comes) {
        timeline.apply({ ...translated(1, 0, start, end, text), lang: 'zh' });
        timeline.apply(translated(2, 0, end, end + 1, 'Bom.'));
      }
      const shown = stage.at(now, now);
      const lines = shown === null ? [] : wrap(shown.pieces).map((line) => line.map((piece) => piece.text).join(''));
      for (const line of lines) seconds.set(line, (seconds.get(line) ?? 0) + 1 / 20);
    }
    expect([...seconds.keys()].filter((line) => whole.includes(line))).toEqual(whole);
    for (const line of whole) {
      const part = [...seconds].filter(([shown]) => whole.includes(shown) ? shown === line : line.startsWith(shown));
      expect(part.reduce((sum, [, time]) => sum + time, 0), line).toBeGreaterThanOrEqual(line.length * 2 / LINE * 2);
    }
    expect(seconds.has('Bom.')).toBe(true);
  });
});
