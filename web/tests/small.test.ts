import { describe, expect, it } from 'vitest';

import { Backoff } from '../src/backoff';
import { OFF, preferred } from '../src/captions/choice';
import { rows, shed, shortcomings } from '../src/captions/quality';
import { Resume } from '../src/captions/resume';
import { parseEvent } from '../src/captions/wire';
import { routeOf } from '../src/pages/route';
import { type Arrived, Carriage } from '../src/player/carriage';
import { Watchdog } from '../src/player/watchdog';
import { iceServers } from '../src/rtc/resource';

describe('addresses', () => {
  it.each([
    ['/watch/physics', { kind: 'live', id: 'physics', embed: false }],
    ['/watch/a%20b/', { kind: 'live', id: 'a b', embed: false }],
    ['/v/0192', { kind: 'vod', id: '0192', embed: false }],
    ['/embed/physics', { kind: 'live', id: 'physics', embed: true }],
    ['/embed/v/0192', { kind: 'vod', id: '0192', embed: true }],
    ['/', null],
    ['/watch/%E0%A4%A', null],
    ['/watch/a/b', null],
  ])('%s', (path, route) => {
    expect(routeOf(path)).toEqual(route);
  });
});

describe('the first caption language', () => {
  const languages = ['en', 'fr', 'pt-BR'];
  it('is the remembered one, then one of the browser’s, then the spoken one', () => {
    expect(preferred(languages, 'pt-BR', ['fr'])).toBe('pt-BR');
    expect(preferred(languages, 'ko', ['pt'])).toBe('pt-BR');
    expect(preferred(languages, null, ['fr-CA', 'en'])).toBe('fr');
    expect(preferred(languages, null, ['ko'])).toBe('en');
    expect(preferred(languages, OFF, ['en'])).toBe(OFF);
    expect(preferred([], null, ['en'])).toBe(OFF);
    expect(preferred(['fr', 'en'], null, ['en', 'ko']), 'what is read stays').toBe('en');
    expect(preferred(['fr'], 'en', ['en', 'ko']), 'what is gone makes way for the spoken one').toBe('fr');
  });
});

describe('messages of the websocket', () => {
  it('are known kinds or nothing', () => {
    expect(parseEvent('{"type":"end"}')).toEqual({ type: 'end' });
    expect(parseEvent('{"type":"status","state":"live"}')).toMatchObject({ state: 'live' });
    expect(parseEvent('{"type":"cue","id":1,"rev":0,"start":1,"end":2,"text":"-->"}')).toMatchObject({ text: '-->' });
    for (const bad of ['', '[]', 'null', '{"type":"cue","id":"1"}', '{"type":"toString"}', new ArrayBuffer(1)]) {
      expect(parseEvent(bad)).toBeNull();
    }
  });
});

describe('resuming a track', () => {
  it('asks again for cues that were still growing', () => {
    const resume = new Resume();
    expect(resume.since).toBeNull();
    resume.took({ id: 6, final: true });
    resume.took({ id: 7, final: false });
    resume.took({ id: 8, final: false });
    expect(resume.since).toBe(6);
    resume.took({ id: 7, final: true });
    expect(resume.since).toBe(7);
    resume.took({ id: 8, final: true });
    expect(resume.since).toBe(8);
    resume.forget();
    resume.took({ id: 0, final: false });
    expect(resume.since).toBeNull();
  });

  it('does not grow without bound', () => {
    const resume = new Resume();
    for (let id = 0; id < 1000; id += 1) resume.took({ id, final: false });
    expect(resume.since).toBe(949);
  });
});

describe('back-off', () => {
  it('doubles to its limit, shortened by up to a half, and starts anew', () => {
    const slow = new Backoff(500, 4000, () => 1);
    expect([slow.next(), slow.next(), slow.next(), slow.next(), slow.next()]).toEqual([500, 1000, 2000, 4000, 4000]);
    slow.reset();
    expect(slow.next()).toBe(500);
    expect(new Backoff(500, 4000, () => 0).next()).toBe(250);
  });
});

describe('the watchdog', () => {
  const video = { currentTime: 1, paused: false, duration: Infinity };
  it('nudges a stuck picture, then gives up', () => {
    const dog = new Watchdog();
    dog.look(video, 0);
    expect(dog.look({ ...video, currentTime: 2 }, 100)).toBe('moving');
    const stuck = { ...video, currentTime: 2 };
    expect(dog.look(stuck, 4000)).toBe('still');
    expect(dog.look(stuck, 4200)).toBe('stuck');
    expect(dog.look(stuck, 4300)).toBe('still');
    expect(dog.look(stuck, 8200)).toBe('stuck');
    expect(dog.look(stuck, 50_000)).toBe('dead');
  });

  it('has everything made anew when a jump did not help for long', () => {
    const dog = new Watchdog();
    expect(dog.jump(0)).toBe(false);
    expect(dog.jump(30_000)).toBe(false);
    expect(dog.jump(38_000)).toBe(true);
    dog.reset();
    expect(dog.jump(40_000)).toBe(false);
  });

  it('leaves a paused picture alone', () => {
    const dog = new Watchdog();
    const paused = { ...video, paused: true };
    for (let now = 0; now < 100_000; now += 1000) expect(dog.look(paused, now)).toBe('still');
  });

  it('knows the end of a complete playlist', () => {
    const dog = new Watchdog();
    const last = { ...video, duration: 1.5 };
    dog.look(last, 0);
    dog.complete();
    expect(dog.look(last, 2000)).toBe('still');
    expect(dog.look(last, 3100)).toBe('over');
  });

  it('takes no slow network for the end', () => {
    const dog = new Watchdog();
    const before = { ...video, duration: 40 };
    dog.look(before, 0);
    dog.complete();
    expect(dog.look(before, 3100)).toBe('still');
    expect(dog.look(before, 4200)).toBe('stuck');
    expect(dog.look(before, 50_000)).toBe('dead');
  });
});

describe('what readers are told of the captions', () => {
  const status = { type: 'status', state: 'live' } as const;
  it('is nothing while they do well or nothing is known', () => {
    expect(shortcomings(null)).toEqual([]);
    expect(shortcomings({ ...status, lag_p50_ms: null, confidence: null })).toEqual([]);
    expect(shortcomings({ ...status, lag_p50_ms: 900, confidence: 0.93 })).toEqual([]);
  });
  it('is that they are late, or likely wrong', () => {
    expect(shortcomings({ ...status, lag_p50_ms: 7000, confidence: 0.93 })).toEqual(['transcript.late']);
    expect(shortcomings({ ...status, lag_p50_ms: 7000, confidence: 0.4 })).toEqual(['transcript.late', 'transcript.unsure']);
  });
});

describe('how the captions do', () => {
  const values = (figures: object): string[] => rows({ state: 'live', ...figures }).map(([, value]) => value);
  it('is told in seconds and shares', () => {
    expect(values({ lag_p50_ms: 640, lag_p95_ms: 1980, final_lag_p50_ms: 1200, final_lag_p95_ms: 4960, ahead: 0.806, confidence: 0.934,
      erasure: 0.04, dropped: 3, real_time_factor: 0.31, load: 'normal' })).toEqual([
      '0.6 s for half of the words, 2.0 s for 95 in 100', '1.2 s for half of the words, 5.0 s for 95 in 100', '81%', '93%', '4%', '3', '0.31 s', 'nothing']);
  });
  it('is a dash where nothing is known, and nothing else where all is nought', () => {
    expect(values({})).toEqual(Array.from({ length: 8 }, () => '–'));
    const unknown = { lag_p50_ms: null, lag_p95_ms: null, final_lag_p50_ms: null, final_lag_p95_ms: null, ahead: null, confidence: null, erasure: null,
      real_time_factor: null, load: 'later' };
    expect(values(unknown)).toEqual(Array.from({ length: 8 }, () => '–'));
    expect(values({ lag_p50_ms: 0, lag_p95_ms: 0, ahead: 0, erasure: 0, dropped: 0, real_time_factor: 0 })).toEqual(
      ['0.0 s for half of the words, 0.0 s for 95 in 100', '–', '0%', '–', '0%', '0', '0.00 s', '–']);
  });
  it('names what is left out when that gets more, not when it gets less', () => {
    expect(shed(undefined, 'partials')).toBe('quality.load.partials');
    expect(shed('partials', 'refresh')).toBe('quality.load.refresh');
    for (const [before, now] of [['partials', 'partials'], ['refresh', 'translation'], ['partials', 'normal'], [undefined, 'normal'], ['normal', undefined]] as const) {
      expect(shed(before, now)).toBeNull();
    }
  });
});

describe('ICE servers in Link headers', () => {
  it('are those that are called so, with what they ask for', () => {
    const link = '<stun:stun.example.org>; rel="ice-server", <https://example.org/,x>; rel="help", '
      + '<turn:turn.example.org?transport=udp>; rel="ice-server"; username="a, \\"b\\""; credential="c;d"; credential-type="password"';
    expect(iceServers(link)).toEqual([
      { urls: 'stun:stun.example.org' },
      { urls: 'turn:turn.example.org?transport=udp', username: 'a, "b"', credential: 'c;d' },
    ]);
  });
  it.each(['', 'nonsense', '<turn:x>; rel=ice-server', '<turn:x; rel="ice-server"'])('are none in %j', (link) => {
    expect(iceServers(link)).toEqual([]);
  });
});

describe('a direct connection', () => {
  /** A look a second: `+` all is well, `~` some is lost, `x` much, `.` sound alone, ` ` nothing. The look at which it fails. */
  const failsAt = (seconds: string): number | null => {
    const now: Arrived = { pictures: 1, received: 0, lost: 0, sound: 0 };
    const carriage = new Carriage();
    carriage.fails(now);
    for (const [index, second] of Array.from(seconds).entries()) {
      const lost = { '~': 5, 'x': 30 }[second] ?? 0;
      if ('+~x'.includes(second)) {
        now.pictures += 25;
        now.received += 100 - lost;
        now.lost += lost;
      }
      if (second !== ' ') now.sound += 50;
      if (carriage.fails({ ...now })) return index;
    }
    return null;
  };
  it.each([
    ['++++++++++++++++++++', null],
    ['~~~~~~~~~~~~~~~~~~~~', null],
    ['+++xxx++++++xxxx++++++', null],
    ['+++xxxxxx', 8],
    ['+++xxx...', 8],
    ['++......', 7],
    ['++x+x+x+x+x+x+x+x', null],
    ['++          ++', null],
  ])('%s', (seconds, at) => {
    expect(failsAt(seconds)).toBe(at);
  });
  it('without pictures from the beginning is one of sound', () => {
    const carriage = new Carriage();
    const looks = Array.from({ length: 20 }, (_, sound) => carriage.fails({ pictures: 0, received: 0, lost: 0, sound }));
    expect(looks).not.toContain(true);
  });
});
