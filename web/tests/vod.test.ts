import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { CaptionDesk } from '../src/captions/desk';
import type { Transcript } from '../src/captions/transcript';
import { VodCaptions } from '../src/captions/vod';

vi.mock('../src/ui/dom', () => ({ el: () => ({}) }));

const FILE = 'WEBVTT\n\n00:00.000 --> 00:02.000\nwaves\n';
const NONE = 'This recording has no captions.';
const transcript = { aside: null, clear: vi.fn<(message: string) => void>(), remark: vi.fn<(text: string) => void>(), take: vi.fn() };
const desk: unknown = {};
const captions = (): VodCaptions => new VodCaptions('r1', desk as CaptionDesk, transcript as unknown as Transcript, () => 0);

/** Answers requests in turn, the last answer again and again; counts them by language. */
function serve(...answers: (number | Error)[]): string[] {
  const asked: string[] = [];
  vi.stubGlobal('fetch', vi.fn((url: string) => {
    asked.push(/captions\/(.+)\.vtt/.exec(url)?.[1] ?? '');
    const answer = answers[Math.min(asked.length, answers.length) - 1];
    if (typeof answer !== 'number') return Promise.reject(answer ?? new Error());
    return Promise.resolve(new Response(answer === 200 ? FILE : '{}', { status: answer }));
  }));
  return asked;
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('window', globalThis);
  vi.clearAllMocks();
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('the captions of a recording', () => {
  it.each([503, 500, 429, new Error('offline')])('are tried again after %s, and said to be', async (failure) => {
    const asked = serve(failure, failure, 200);
    const vod = captions();
    await vod.follow('en');
    expect(transcript.remark).toHaveBeenLastCalledWith('The captions do not load, and are being tried again…');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked).toHaveLength(3);
    expect(vod.timeline.all).toHaveLength(1);
    expect(transcript.remark).toHaveBeenLastCalledWith('');
    expect(transcript.clear).not.toHaveBeenCalledWith(NONE);
  });

  it('are none where the server knows of none', async () => {
    const asked = serve(503, 404);
    await captions().follow('en');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked).toHaveLength(2);
    expect(transcript.clear).toHaveBeenLastCalledWith(NONE);
    expect(transcript.remark).toHaveBeenLastCalledWith('');
  });

  it('are not tried again in a language that has been left', async () => {
    const asked = serve(503, 200);
    const vod = captions();
    await vod.follow('en');
    await vod.follow('fr');
    expect(transcript.remark).toHaveBeenLastCalledWith('');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked).toEqual(['en', 'fr']);
    expect(vod.timeline.all[0]?.lang).toBe('fr');
  });

  it('are asked for less and less often', async () => {
    const asked = serve(503);
    await captions().follow('en');
    await vi.advanceTimersByTimeAsync(120_000);
    expect(asked.length).toBeGreaterThan(8);
    expect(asked.length).toBeLessThan(25);
  });
});
