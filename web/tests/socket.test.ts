import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { CaptionSocket } from '../src/captions/socket';

/** Stands in for the browser's, in the order they were opened. */
class Socket extends EventTarget {
  constructor(readonly url: URL) {
    super();
    opened.push(this);
  }

  say(...messages: object[]): void {
    for (const message of messages) this.dispatchEvent(new MessageEvent('message', { data: JSON.stringify(message) }));
  }

  close(): void {
    this.dispatchEvent(new Event('close'));
  }
}

let opened: Socket[] = [];
const live = { type: 'status', state: 'live' };
const cue = { type: 'cue', lang: 'en', id: 7, rev: 0, final: true, start: 1, end: 2, text: 'waves', stable_len: 5 };
const end = { type: 'end' };
const listener = { event: vi.fn(), connection: vi.fn() };

beforeEach(() => {
  opened = [];
  vi.useFakeTimers();
  vi.stubGlobal('window', globalThis);
  vi.stubGlobal('location', { href: 'https://amphi.example/watch/waves' });
  vi.stubGlobal('WebSocket', Socket);
  vi.clearAllMocks();
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** How many connections a server sees in so many seconds that treats each of them so. */
function connections(seconds: number, serve: (socket: Socket) => void): number {
  let served = 0;
  for (let tenths = 0; tenths < seconds * 10; tenths += 1) {
    for (; served < opened.length; served += 1) {
      const socket = opened[served];
      if (socket !== undefined) serve(socket);
    }
    vi.advanceTimersByTime(100);
  }
  return served;
}

describe('the websocket of a track', () => {
  it('leaves a server alone that tells of the end again and again, and says nothing is wrong', () => {
    new CaptionSocket('waves', 'en', listener);
    const seen = connections(120, (socket) => { socket.say(cue, live, end); socket.close(); });
    expect(seen).toBeGreaterThanOrEqual(12);
    expect(seen).toBeLessThanOrEqual(25);
    expect(listener.connection).not.toHaveBeenCalledWith(false, expect.anything());
    expect(opened.at(-1)?.url.searchParams.has('since'), 'another live has other ids').toBe(false);
  });

  it('comes back soon when it was cut off in a live, after the last cue', () => {
    new CaptionSocket('waves', 'en', listener);
    const seen = connections(120, (socket) => { socket.say(cue, live); socket.close(); });
    expect(seen).toBeGreaterThan(240);
    expect(opened.at(-1)?.url.searchParams.get('since')).toBe('7');
    expect(listener.connection).toHaveBeenLastCalledWith(false, 1);
  });

  it('counts the connections that gave nothing, behind the end as well', () => {
    new CaptionSocket('waves', 'en', listener);
    opened[0]?.say(live, end);
    connections(40, (socket) => { socket.close(); });
    expect(listener.connection.mock.calls.slice(0, 3)).toEqual([[false, 1], [false, 2], [false, 3]]);
  });

  it('connects at once for the next live, where it rests behind the end of the last', () => {
    const socket = new CaptionSocket('waves', 'en', listener);
    socket.wake();
    expect(opened).toHaveLength(1);
    opened[0]?.say(live, end);
    opened[0]?.close();
    socket.wake();
    expect(opened).toHaveLength(2);
    socket.wake();
    vi.advanceTimersByTime(60_000);
    expect(opened, 'the wait is over').toHaveLength(2);
  });

  it('stays closed', () => {
    const socket = new CaptionSocket('waves', 'en', listener);
    opened[0]?.say(live, end);
    opened[0]?.close();
    socket.close();
    socket.wake();
    vi.advanceTimersByTime(60_000);
    expect(opened).toHaveLength(1);
  });
});

describe('a connection that falls silent', () => {
  const told = { ...live, lang: 'en' };
  const seconds = (count: number): void => { vi.advanceTimersByTime(count * 1000); };

  it('is given up within 16 s, and the next one goes on after the last cue', () => {
    new CaptionSocket('waves', 'en', listener);
    opened[0]?.say(cue, told);
    seconds(15.9);
    expect(listener.connection).not.toHaveBeenCalled();
    const close = vi.spyOn(opened[0] ?? expect.fail(), 'close').mockReturnValue();
    seconds(0.2);
    expect(close).toHaveBeenCalledOnce();
    expect(listener.connection.mock.calls).toEqual([[false, 1]]);
    seconds(0.5);
    expect(opened).toHaveLength(2);
    expect(opened[1]?.url.searchParams.get('since')).toBe('7');
  });

  it('is not heard any more, and its end does not count again', () => {
    new CaptionSocket('waves', 'en', listener);
    opened[0]?.say(told);
    seconds(17);
    listener.event.mockClear();
    opened[0]?.say(cue, end);
    opened[0]?.dispatchEvent(new Event('open'));
    opened[0]?.dispatchEvent(new Event('close'));
    expect(listener.event).not.toHaveBeenCalled();
    expect(listener.connection.mock.calls).toEqual([[false, 1]]);
    seconds(1);
    expect(opened).toHaveLength(2);
  });

  it('is tried again where the next one hangs, until one speaks', () => {
    new CaptionSocket('waves', 'en', listener);
    opened[0]?.say(told);
    seconds(60);
    expect(listener.connection.mock.calls.slice(0, 3)).toEqual([[false, 1], [false, 2], [false, 3]]);
    const count = opened.length;
    for (let times = 0; times < 20; times += 1) {
      opened.at(-1)?.say(told);
      seconds(5);
    }
    expect(opened).toHaveLength(count);
  });

  it.each([
    ['before the live', [{ type: 'status', state: 'idle' }]],
    ['behind its end', [told, end]],
    ['before its first word', []],
  ])('is left alone %s', (_, said) => {
    new CaptionSocket('waves', 'en', listener);
    opened[0]?.say(...said);
    seconds(600);
    expect(opened).toHaveLength(1);
    expect(listener.connection).not.toHaveBeenCalled();
  });

  it('is none where something comes in time, though a page that slept finds its timers due first', () => {
    new CaptionSocket('waves', 'en', listener);
    opened[0]?.say(told);
    seconds(10);
    opened[0]?.say(told, cue);
    seconds(9);
    opened[0]?.say(told);
    seconds(9);
    expect(opened).toHaveLength(1);
    expect(listener.connection).not.toHaveBeenCalled();
  });

  it('is forgotten with the track', () => {
    const socket = new CaptionSocket('waves', 'en', listener);
    opened[0]?.say(told);
    socket.close();
    seconds(60);
    expect(opened).toHaveLength(1);
    expect(listener.connection).not.toHaveBeenCalled();
  });
});
