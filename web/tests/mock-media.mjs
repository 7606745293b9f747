// Cuts the demo lecture into CMAF-like parts with ffmpeg, for the mock server only.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Seconds a part lasts, and parts a segment. */
export const PART = 0.25;
export const PARTS = 8;

const ROOT = join(import.meta.dirname, '..', '..');
const LECTURE = join(ROOT, 'demo', 'lecture-en.flv');

/** The lecture's sentences with their times. */
export const sentences = JSON.parse(readFileSync(join(ROOT, 'tests', 'media', 'lecture-en.json'), 'utf8'));

/** Makes (once) and reads `{init, parts}` of one rendition of `height` lines, A/V in one file. */
export function rendition(folder, height) {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${height}.mp4`);
  if (!existsSync(file)) {
    const codec = height === 720 ? ['-c:v', 'copy'] : ['-c:v', 'libx264', '-preset', 'ultrafast', '-vf', `scale=-2:${height}`,
      '-g', '60', '-keyint_min', '60', '-sc_threshold', '0', '-bf', '0', '-profile:v', 'main'];
    execFileSync('ffmpeg', ['-v', 'error', '-y', '-i', LECTURE, ...codec, '-c:a', 'copy', '-movflags',
      '+frag_keyframe+empty_moov+default_base_moof', '-frag_duration', String(PART * 1e6), file]);
  }
  const bytes = readFileSync(file);
  const parts = [];
  let init = null;
  let at = 0;
  while (at + 8 <= bytes.length) {
    const size = bytes.readUInt32BE(at);
    const type = bytes.toString('latin1', at + 4, at + 8);
    if (type === 'moof') {
      init ??= bytes.subarray(0, at);
      const data = bytes.readUInt32BE(at + size);
      parts.push(bytes.subarray(at, at + size + data));
      at += size + data;
    } else {
      at += size;
    }
  }
  return { init, parts };
}

/** Makes (once) a recording of `seconds` as HLS in `folder`. */
export function recording(folder, seconds) {
  if (existsSync(join(folder, 'index.m3u8'))) return;
  mkdirSync(join(folder, 'captions'), { recursive: true });
  execFileSync('ffmpeg', ['-v', 'error', '-y', '-t', String(seconds), '-i', LECTURE, '-c', 'copy', '-f', 'hls', '-hls_time', '4',
    '-hls_playlist_type', 'vod', '-hls_segment_type', 'fmp4', '-master_pl_name', 'index.m3u8', join(folder, 'stream.m3u8')]);
  const stamp = (s) => new Date(s * 1000).toISOString().slice(11, 23);
  const cues = sentences.filter(({ end }) => end < seconds);
  writeFileSync(join(folder, 'captions', 'en.vtt'),
    `WEBVTT\n\n${cues.map(({ start, end, text }, i) => `${i}\n${stamp(start)} --> ${stamp(end)}\n${text}\n`).join('\n')}`);
}
