import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { CaptionDesk } from '../src/captions/desk';
import { LiveCaptions } from '../src/captions/live';
import { endsSentence, type Transcript } from '../src/captions/transcript';
import type { Engine } from '../src/player/engine';

/** A websocket that is accepted and dropped, or refused, as some networks do. */
class Dropped extends EventTarget {
  static accepted = false;
  static says: object | null = null;

  constructor() {
    super();
    setTimeout(() => {
      if (Dropped.accepted) this.dispatchEvent(new Event('open'));
      if (Dropped.says !== null) this.dispatchEvent(new MessageEvent('message', { data: JSON.stringify(Dropped.says) }));
      else setTimeout(() => this.dispatchEvent(new Event('close')), 1);
    }, 1);
  }

  close(): void {
    // It is closed already.
  }
}

const transcript = { clear: vi.fn(), remark: vi.fn<(text: string) => void>(), take: vi.fn(), draw: vi.fn() };
const desk = { languages: ['en'], draw: vi.fn() };

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('window', globalThis);
  vi.stubGlobal('location', { href: 'https://amphi.example/watch/waves' });
  vi.stubGlobal('WebSocket', Dropped);
  vi.clearAllMocks();
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe.each([['refused', false], ['accepted and dropped', true]])('where websockets are %s', (_, accepted) => {
  const follow = (engine: object): { captions: LiveCaptions; sources: Set<string> } => {
    Dropped.accepted = accepted;
    Dropped.says = null;
    const captions = new LiveCaptions('waves', desk as unknown as CaptionDesk, transcript as unknown as Transcript, vi.fn());
    captions.play(engine as Engine);
    captions.follow('en');
    vi.advanceTimersByTime(5000);
    const sources = new Set<string>();
    for (let tenths = 0; tenths < 200; tenths += 1) {
      vi.advanceTimersByTime(10);
      sources.add(captions.source);
    }
    return { captions, sources };
  };

  it('a direct picture has no captions, and is not said to have them', () => {
    const { sources } = follow({ hls: null });
    expect([...sources]).toEqual(['track']);
    expect(transcript.remark).toHaveBeenLastCalledWith('The captions are reconnecting…');
  });

  it('the playlist’s track takes over', () => {
    const track = vi.fn();
    const { captions, sources } = follow({ hls: null, track });
    expect([...sources]).toEqual(['track']);
    expect(track).toHaveBeenLastCalledWith('en', expect.anything());
    expect(transcript.remark).toHaveBeenLastCalledWith('Written by a machine');
    captions.play({ hls: null } as Engine);
    expect(transcript.remark).toHaveBeenLastCalledWith('The captions are reconnecting…');
  });

  it('the first word from one that works ends that, and the panel waits for more', () => {
    const { captions } = follow({ hls: null });
    Dropped.says = { type: 'status', state: 'live', lang: 'en' };
    vi.advanceTimersByTime(6000);
    expect(captions.source).toBe('websocket');
    expect(transcript.remark).toHaveBeenLastCalledWith('');
    expect(transcript.clear).toHaveBeenLastCalledWith('The words appear here as they are spoken.');
  });
});

describe('a sentence', () => {
  it('ends behind the marks that close it, however French keeps them there', () => {
    for (const text of ['Oui.', 'Oui\u202F!', '«\u00A0Oui.\u00A0»', '“Oui?”']) expect(endsSentence(text), text).toBe(true);
    for (const text of ['Oui', 'Oui,', '«\u00A0Oui\u00A0»\u00A0:', '']) expect(endsSentence(text), text).toBe(false);
  });
});
