// Stands in for the server: the built pages, one low-latency live with captions, one recording.
// `node tests/mock-server.mjs [PORT]`; `POST /mock/live/off|on` ends and begins the live,
// `POST /mock/cut` makes the publisher vanish for SECONDS, `POST /mock/ws/off|on` breaks the websocket, `/mock/ws/lost`
// has those that stand hear nothing more,
// `POST /mock/tell/FIELD/VALUE` (JSON) is told of the captions, `POST /mock/correct/ID` corrects a complete sentence.
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';

import { WebSocketServer } from 'ws';

import { PART, PARTS, recording, rendition, sentences } from './mock-media.mjs';

const DIST = join(import.meta.dirname, '..', 'dist');
const MEDIA = join(tmpdir(), 'amphi-mock');
const CSP = process.env.CSP ?? "default-src 'self'; media-src 'self' blob: data:; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'";
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml',
  '.m3u8': 'application/vnd.apple.mpegurl', '.m4s': 'video/mp4', '.mp4': 'video/mp4', '.vtt': 'text/vtt' };
const WINDOW = 6;
const LOOP = 120;
const FRENCH = ['Bonjour, et bienvenue à ce cours sur les ondes.', 'Aujourd’hui, nous répondrons à trois questions simples.',
  'Qu’est-ce qu’une onde, à quelle vitesse se déplace-t-elle, et pourquoi deux ondes s’annulent-elles parfois ?'];

const renditions = { '720p': rendition(MEDIA, 720), '480p': rendition(MEDIA, 480) };
recording(join(MEDIA, 'vod'), 40);

const state = { on: process.env.IDLE === undefined, ws: true, start: Date.now() - 20_000, cutUntil: 0, empty: process.env.EMPTY !== undefined, told: {} };
const now = () => (Date.now() - state.start) / 1000;
/** Parts that exist. */
const edge = () => Math.floor(Math.min(now(), state.cutUntil > 0 ? (state.cutAt ?? 0) : Infinity) / PART);

function playlist(name) {
  const total = edge();
  const whole = Math.floor(total / PARTS);
  const first = Math.max(0, whole - WINDOW);
  const perLoop = LOOP / (PART * PARTS);
  const lines = ['#EXTM3U', '#EXT-X-VERSION:9', '#EXT-X-TARGETDURATION:4', `#EXT-X-PART-INF:PART-TARGET=${PART}`,
    `#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=${PART * 3.2},HOLD-BACK=12`,
    `#EXT-X-MEDIA-SEQUENCE:${first}`, `#EXT-X-DISCONTINUITY-SEQUENCE:${Math.max(0, Math.ceil(first / perLoop) - 1)}`];
  lines.push('#EXT-X-MAP:URI="init.mp4"');
  for (let msn = first; msn <= whole; msn += 1) {
    if (msn > 0 && msn % perLoop === 0) lines.push('#EXT-X-DISCONTINUITY', '#EXT-X-MAP:URI="init.mp4"');
    lines.push(`#EXT-X-PROGRAM-DATE-TIME:${new Date(state.start + msn * PARTS * PART * 1000).toISOString()}`);
    const count = Math.min(PARTS, total - msn * PARTS);
    for (let part = 0; part < count && msn > whole - 3; part += 1) {
      lines.push(`#EXT-X-PART:DURATION=${PART},URI="p${msn * PARTS + part}.m4s"${part === 0 ? ',INDEPENDENT=YES' : ''}`);
    }
    if (count === PARTS) lines.push(`#EXTINF:${PARTS * PART},`, `s${msn}.m4s`);
  }
  if (!state.on) lines.push('#EXT-X-ENDLIST');
  else lines.push(`#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p${total}.m4s"`);
  return `${lines.join('\n')}\n# ${name}\n`;
}

async function until(part) {
  for (let tries = 0; tries < 600 && state.on && edge() <= part; tries += 1) await new Promise((done) => setTimeout(done, 20));
}

async function live(path, query, response) {
  if (!state.on && Date.now() > (state.offAt ?? 0) + 4000) return problem(response, 404, 'the channel is not live');
  if (path === 'index.m3u8') {
    return send(response, '.m3u8', ['#EXTM3U', '#EXT-X-VERSION:9',
      ...['en', 'fr'].map((lang) => `#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="subs",NAME="${lang}",LANGUAGE="${lang}",DEFAULT=${lang === 'en' ? 'YES' : 'NO'},AUTOSELECT=YES,URI="captions-${lang}/stream.m3u8"`),
      '#EXT-X-STREAM-INF:BANDWIDTH=1500000,RESOLUTION=1280x720,FRAME-RATE=30,CODECS="avc1.64001f,mp4a.40.2",SUBTITLES="subs"', '720p/stream.m3u8',
      '#EXT-X-STREAM-INF:BANDWIDTH=700000,RESOLUTION=854x480,FRAME-RATE=30,CODECS="avc1.4d401e,mp4a.40.2",SUBTITLES="subs"', '480p/stream.m3u8', ''].join('\n'));
  }
  const [name, file = ''] = path.split('/');
  if (name.startsWith('captions-')) return captionTrack(name.slice(9), file, query, response);
  const media = renditions[name];
  if (media === undefined) return problem(response, 404, 'no such rendition');
  if (file === 'stream.m3u8') {
    const msn = query.get('_HLS_msn');
    if (msn !== null) await until(Number(msn) * PARTS + Number(query.get('_HLS_part') ?? PARTS - 1));
    return send(response, '.m3u8', playlist(name));
  }
  if (file === 'init.mp4') return send(response, '.mp4', media.init);
  const number = Number(/\d+/.exec(file)?.[0]);
  const count = media.parts.length;
  if (file.startsWith('p')) {
    await until(number);
    return send(response, '.m4s', media.parts[number % count]);
  }
  return send(response, '.m4s', Buffer.concat(Array.from({ length: PARTS }, (_, i) => media.parts[(number * PARTS + i) % count])));
}

/** A caption playlist in step with the video's, whole segments only. */
async function captionTrack(lang, file, query, response) {
  state.captionRequests = (state.captionRequests ?? 0) + 1;
  if (file !== 'stream.m3u8') {
    const from = (Number(/\d+/.exec(file)?.[0]) * PARTS * PART) % LOOP;
    const stamp = (s) => new Date(s * 1000).toISOString().slice(11, 23);
    const cues = sentences.map((sentence, index) => ({ ...sentence, index })).filter(({ start, end }) => start < from + PARTS * PART && end > from);
    return send(response, '.vtt', `WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:0\n\n${cues.map(({ start, end, text, index }) =>
      `${index}\n${stamp(start)} --> ${stamp(end)}\n(track ${lang}) ${text}\n`).join('\n')}`);
  }
  const msn = query.get('_HLS_msn');
  if (msn !== null) await until(Number(msn) * PARTS + PARTS - 1);
  const lines = playlist(lang).split('\n').filter((line) => !/EXT-X-PART:|EXT-X-PRELOAD-HINT|EXT-X-MAP/.test(line));
  while (lines.length > 0 && !/\.m4s$/.test(lines.at(-1)) && lines.at(-1) !== '#EXT-X-ENDLIST') lines.pop();
  return send(response, '.m3u8', `${lines.join('\n').replaceAll('.m4s', '.vtt')}\n`);
}

function api(path, response) {
  const channels = state.empty ? [] : [
    { name: 'physics', title: 'Physics 1 — Waves', language: 'en', translate: ['fr', 'pt'], state: state.on ? 'live' : 'ended', viewers: 42, started_at: new Date(state.start).toISOString() },
    { name: 'history', title: 'History of science', language: 'fr', translate: ['en'], state: 'idle' }];
  const recordings = state.empty ? [] : [
    { id: 'r1', state: 'ready', channel: 'physics', title: 'Physics 1 — Oscillations', started_at: '2026-11-19T09:00:00Z', duration: 40, captions: ['en'] },
    { id: 'r2', state: 'processing', channel: 'physics', title: 'Physics 1 — Introduction', started_at: '2026-11-17T09:00:00Z', duration: 3541 }];
  const [collection, id, rest] = path.split('/');
  const json = (value) => (value === undefined ? problem(response, 404, 'no such thing') : send(response, '.json', JSON.stringify(value)));
  if (collection === 'channels' && id === undefined) return json({ items: channels });
  if (collection === 'channels') {
    const channel = channels.find(({ name }) => name === id);
    return json(rest === 'status' && channel ? { state: channel.state, viewers: channel.viewers } : channel);
  }
  if (collection === 'recordings') return json(id === undefined ? { items: recordings } : recordings.find((item) => item.id === id));
  return problem(response, 404, 'no such resource');
}

function send(response, type, body) {
  response.writeHead(200, { 'content-type': TYPES[type] ?? 'application/json', 'cache-control': 'no-store' });
  response.end(body);
}

function problem(response, status, detail) {
  response.writeHead(status, { 'content-type': 'application/problem+json' });
  response.end(JSON.stringify({ type: 'about:blank', title: 'Not found', status, detail }));
}

function file(response, path) {
  if (!existsSync(path) || !statSync(path).isFile()) return problem(response, 404, 'no such file');
  const type = extname(path);
  response.writeHead(200, { 'content-type': TYPES[type] ?? 'application/octet-stream', ...(type === '.html' ? { 'content-security-policy': CSP } : {}) });
  createReadStream(path).pipe(response);
}

const server = createServer((request, response) => {
  const url = new URL(request.url, 'http://mock');
  const path = normalize(decodeURIComponent(url.pathname));
  if (path.startsWith('/mock/')) {
    const [, , what, value, content] = path.split('/');
    if (what === 'live') {
      state.on = value === 'on';
      if (state.on) state.start = Date.now() - 6000;
      else {
        state.offAt = Date.now();
        for (const client of sockets.clients) end(client);
      }
    }
    if (what === 'tell') {
      state.told[value] = JSON.parse(content);
      for (const client of sockets.clients) tell(client);
    }
    if (what === 'correct') {
      for (const client of sockets.clients) {
        client.send(JSON.stringify({ ...client.complete.get(Number(value)), rev: 1000, text: 'Corrected by people.', stable_len: 20, words: [], source: 'human' }));
      }
    }
    if (what === 'ws') {
      for (const client of sockets.clients) if (value === 'lost') client.send = () => undefined;
      state.ws = value !== 'off';
      if (!state.ws) for (const client of sockets.clients) client.terminate();
    }
    if (what === 'cut') {
      state.cutAt = now();
      state.cutUntil = Date.now() + Number(value) * 1000;
      setTimeout(() => { state.cutUntil = 0; }, Number(value) * 1000);
    }
    return send(response, '.json', JSON.stringify({ captionRequests: state.captionRequests ?? 0 }));
  }
  if (path.startsWith('/api/v1/')) return api(path.slice(8), response);
  if (path.startsWith('/live/physics/')) return void live(path.slice(14), url.searchParams, response);
  if (path.startsWith('/live/')) return problem(response, 404, 'the channel is not live');
  if (path.startsWith('/vod/r1/')) return file(response, join(MEDIA, 'vod', path.slice(8)));
  if (path === '/') return file(response, join(DIST, 'index.html'));
  if (/^\/(watch|v|embed)\//.test(path)) return file(response, join(DIST, 'watch.html'));
  return file(response, join(DIST, path));
});

const sockets = new WebSocketServer({ noServer: true });
server.on('upgrade', (request, socket, head) => {
  const url = new URL(request.url, 'http://mock');
  if (!state.ws || !url.pathname.startsWith('/api/v1/channels/physics/captions/ws')) return socket.destroy();
  sockets.handleUpgrade(request, socket, head, (client) => {
    captions(client, url.searchParams.get('lang') ?? 'en', Number(url.searchParams.get('since') ?? -1));
  });
});

/** Sends what a recogniser would say: a word 0.7 s after its end, the last two unstable; translations at the end. */
function captions(client, lang, since) {
  client.lang = lang;
  client.complete = new Map();
  tell(client);
  if (state.offAt !== undefined && !state.on) return end(client);
  let sent = since >= 0 ? Math.max(0, now() - 60) : Math.max(0, now() - 30);
  const timer = setInterval(() => {
    if (!state.on) return;
    if (now() < sent - 5) { sent = 0; since = -1; }
    const until = now() - 0.7;
    for (const event of eventsBetween(sent, until, lang)) {
      if (event.final) client.complete.set(event.id, event);
      if (event.id > since) client.send(JSON.stringify(event));
    }
    sent = Math.max(sent, until);
  }, 50);
  const report = setInterval(() => { tell(client); }, 5000);
  client.on('close', () => {
    clearInterval(timer);
    clearInterval(report);
  });
}

/** How the captions do; as the server, the state from before where the live is over. */
function tell(client) {
  const { lang } = client;
  client.send(JSON.stringify({ type: 'status', state: state.on || state.offAt !== undefined ? 'live' : 'idle', lang, load: 'normal', dropped: 0, ...state.told }));
}

function end(client) {
  client.send(JSON.stringify({ type: 'end' }));
  client.close();
}

function eventsBetween(from, to, lang) {
  const events = [];
  for (let loop = Math.floor(from / LOOP); loop <= Math.floor(to / LOOP); loop += 1) {
    sentences.forEach(({ start, end, text }, index) => {
      const id = loop * 100 + index;
      const base = { type: 'cue', lang, id, start: start + loop * LOOP, start_pdt: new Date(state.start + (start + loop * LOOP) * 1000).toISOString() };
      const words = text.split(' ');
      const each = (end - start) / words.length;
      const timed = words.map((word, i) => ({ text: word, start: base.start + i * each, end: base.start + (i + 1) * each, confidence: 0.9 }));
      if (lang !== 'en') {
        const translated = FRENCH[index] ?? `(${lang}) ${text}`;
        if (end + loop * LOOP > from && end + loop * LOOP <= to) {
          events.push({ ...base, rev: 1, final: true, end: end + loop * LOOP, text: translated, stable_len: translated.length, words: [], source: 'mt' });
        }
        return;
      }
      timed.forEach((word, i) => {
        if (word.end <= from || word.end > to) return;
        const said = timed.slice(0, i + 1);
        const last = i === words.length - 1;
        const stable = last ? said : said.slice(0, -2);
        events.push({ ...base, rev: i, final: last, end: word.end, text: said.map((w) => w.text).join(' '),
          stable_len: stable.map((w) => w.text).join(' ').length, words: said, source: 'asr' });
      });
    });
  }
  return events;
}

server.listen(Number(process.argv[2] ?? 8081), '127.0.0.1', () => {
  console.log(`mock server on http://127.0.0.1:${server.address().port}/`);
});
