import type { CueEvent, WireWord } from './wire';

/**
 * The cues of a WebVTT file (W3C WebVTT §4), as events of one track, in file order.
 *
 * Styles, regions, notes and settings are passed over, tags are taken off; `<00:01.000>` inside a
 * cue gives the words after it their time. A block that is no cue is skipped.
 */
export function parseVtt(file: string, lang: string): CueEvent[] {
  const blocks = file.replace(/^\uFEFF/, '').replace(/\r\n?/g, '\n').split(/\n{2,}/);
  const cues: CueEvent[] = [];
  for (const block of blocks) {
    const lines = block.split('\n').filter((line) => line !== '');
    const at = lines.findIndex((line) => line.includes('-->'));
    if (at < 0 || at > 1) continue;
    const [from = '', to = ''] = (lines[at] ?? '').split('-->');
    const start = timestamp(from.trim());
    const end = timestamp(to.trim().split(/\s/)[0] ?? '');
    const body = lines.slice(at + 1).join(' ');
    const text = plain(body);
    if (start === null || end === null || text === '') continue;
    const words = timedWords(body, start, end);
    cues.push({
      type: 'cue', lang, id: cues.length, rev: 0, final: true, start, end, text,
      stable_len: Array.from(text).length, ...(words.length > 0 ? { words } : {}),
    });
  }
  return cues;
}

/** Seconds of `MM:SS.mmm` or `HH:MM:SS.mmm`, null for anything else. */
export function timestamp(text: string): number | null {
  const match = /^(?:(\d{2,}):)?([0-5]\d):([0-5]\d)\.(\d{3})$/.exec(text);
  if (match === null) return null;
  const [, hours = '0', minutes = '0', seconds = '0', thousandths = '0'] = match;
  return Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds) + Number(thousandths) / 1000;
}

/** A cue's text without tags, references resolved, spaces single. */
export function plain(body: string): string {
  const named: Record<string, string> = { amp: '&', lt: '<', gt: '>', lrm: '\u200E', rlm: '\u200F', nbsp: '\u00A0' };
  return body
    .replace(/<[^>]*>/g, '')
    .replace(/&(amp|lt|gt|lrm|rlm|nbsp);/g, (whole, name: string) => named[name] ?? whole)
    .replace(/[ \t\n]+/g, ' ')
    .trim();
}

function timedWords(body: string, start: number, end: number): WireWord[] {
  if (!/<\d+:/.test(body)) return [];
  const parts = body.split(/<([\d:.]+)>/);
  const words: WireWord[] = [];
  let time = start;
  parts.forEach((part, index) => {
    if (index % 2 === 1) {
      time = timestamp(part) ?? time;
      return;
    }
    for (const text of plain(part).split(' ')) {
      if (text !== '') words.push({ text, start: time, end });
    }
  });
  return words;
}
