import { describe, expect, it } from 'vitest';

import { parseVtt, plain, timestamp } from '../src/captions/vtt';

const FILE = `\uFEFFWEBVTT - a title\r
X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:0\r
\r
NOTE a remark --> not a cue

STYLE
::cue { color: red }

intro
00:00.000 --> 00:02.844 line:90% align:start
Good <b>morning</b>, &amp; welcome
to this lecture.

01:00:03.294 --> 01:00:05.872
<v Anna>1 &lt; 2 &lt;script&gt;

00:09.000 --> broken
lost

00:10.000 --> 00:12.000
two <00:11.000>waves <00:11.500>meet
`;

describe('WebVTT', () => {
  const cues = parseVtt(FILE, 'en');

  it('reads cues with and without ids, passing over notes, styles and broken ones', () => {
    expect(cues.map(({ start, end, text }) => [start, end, text])).toEqual([
      [0, 2.844, 'Good morning, & welcome to this lecture.'],
      [3603.294, 3605.872, '1 < 2 <script>'],
      [10, 12, 'two waves meet'],
    ]);
    expect(cues.every(({ final, lang }) => final && lang === 'en')).toBe(true);
  });

  it('reads the times of words inside a cue', () => {
    expect(cues[2]?.words?.map(({ text, start }) => [text, start])).toEqual([['two', 10], ['waves', 11], ['meet', 11.5]]);
    expect(cues[0]?.words).toBeUndefined();
  });

  it('refuses what is no time', () => {
    expect(timestamp('00:61.000')).toBeNull();
    expect(timestamp('1:2:3')).toBeNull();
    expect(timestamp('100:00:00.001')).toBe(360_000.001);
  });

  it('takes tags off before it resolves references', () => {
    expect(plain('<c.x>a</c> &lt;b&gt; &amp;lt;')).toBe('a <b> &lt;');
  });

  it('finds nothing in what is no WebVTT', () => {
    expect(parseVtt('', 'en')).toEqual([]);
    expect(parseVtt('<!doctype html>', 'en')).toEqual([]);
  });
});
