// The pages in Chromium against the mock server: `npm run build && npm run e2e`.
// CHROMIUM names another browser binary.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { chromium } from 'playwright-core';

import { sentences } from './mock-media.mjs';

const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required'];

let server, base, browser;

before(async () => {
  server = spawn(process.execPath, [join(import.meta.dirname, 'mock-server.mjs'), '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  base = await new Promise((done) => server.stdout.on('data', (text) => done(/http:\/\/[\d.:]+/.exec(String(text))[0])));
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ARGS });
});

after(async () => {
  await browser?.close();
  server?.kill();
});

async function open(path, prepare) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB' });
  const page = await context.newPage();
  if (prepare !== undefined) await page.addInitScript(prepare);
  const refused = [];
  page.on('console', (message) => { if (/Content Security Policy/.test(message.text())) refused.push(message.text()); });
  page.on('pageerror', (error) => refused.push(error.message));
  await page.goto(base + path);
  return { page, refused };
}

const state = (page, value) => page.waitForSelector(`#player[data-state="${value}"]`, { timeout: 30_000 });
const mock = (path) => fetch(`${base}/mock/${path}`, { method: 'POST' });
const tell = (field, value) => mock(`tell/${field}/${encodeURIComponent(JSON.stringify(value))}`);
/** What screen readers take no notice of: nothing live stands around it or in it. */
const silent = (page, selector) => page.$eval(selector, (node) => {
  const live = '[role="log"], [role="status"], [role="alert"], [aria-live]:not([aria-live="off"])';
  return node.closest(live) === null && node.querySelector(live) === null;
});

test('a live plays within two seconds of its edge, with words in step with the picture', async () => {
  const { page, refused } = await open('/watch/physics');
  await state(page, 'live');
  await page.waitForFunction(() => document.querySelector('[data-captions]').textContent !== '', null, { timeout: 20_000 });
  await page.waitForFunction(() => window.amphi.hls.latency > 0 && window.amphi.hls.latency < 2);
  const early = await page.evaluate(async () => {
    let worst = 0;
    for (let looks = 0; looks < 100; looks += 1) {
      await new Promise((done) => requestAnimationFrame(done));
      const { timeline, now } = window.amphi.captions;
      const words = document.querySelector('[data-captions]').textContent.split(/\s+/).filter((word) => word !== '');
      const cue = timeline.all.findLast(({ start }) => start <= now);
      const shown = cue?.pieces.find((_, index) => cue.pieces.slice(0, index + 1).map(({ text }) => text).join('').endsWith(words.slice(-4).join(' ')));
      if (shown !== undefined) worst = Math.max(worst, shown.start - now);
    }
    return worst;
  });
  assert.equal(early, 0);
  assert.equal(await page.getAttribute('[data-captions]', 'lang'), 'en');
  assert.deepEqual(refused, []);
  await page.context().close();
});

test('the playlist takes over when the websocket fails, and gives back', async () => {
  const { page } = await open('/watch/physics');
  await state(page, 'live');
  await page.waitForFunction(() => window.amphi.captions.timeline.all.length > 0);
  await mock('ws/off');
  await page.waitForFunction(() => document.querySelector('[data-captions]').textContent.startsWith('(track en)'), null, { timeout: 30_000 });
  await mock('ws/on');
  await page.waitForFunction(() => window.amphi.captions.source === 'websocket', null, { timeout: 30_000 });
  await page.context().close();
});

test('a cut is survived, the end is noticed, the next live starts by itself', async () => {
  const { page } = await open('/watch/physics');
  await state(page, 'live');
  const { hls, at } = await page.evaluateHandle(() => window.amphi.hls).then(async (handle) => ({
    hls: handle, at: await page.evaluate(() => document.querySelector('video').currentTime) }));
  await mock('cut/6');
  // The parts of the six seconds come all at once afterwards: the picture must pass them and be at the edge again.
  await page.waitForFunction((from) => document.querySelector('video').currentTime > from + 8 && window.amphi.hls.latency < 2, at, { timeout: 30_000 });
  assert.ok(await page.evaluate((before) => before === window.amphi.hls, hls), 'the same engine plays on');
  await mock('live/off');
  await state(page, 'ended');
  assert.equal(await page.textContent('.transcript-note'), 'Written by a machine');
  const before = await page.evaluate(() => window.amphi.captions.timeline.all.at(-1).start);
  await mock('live/on');
  await state(page, 'live');
  await page.waitForFunction((old) => window.amphi.captions.timeline.all.at(-1)?.start < old, before);
  await page.context().close();
});

test('screen readers are given each phrase once, when it is complete', async () => {
  const { page, refused } = await open('/watch/physics');
  await state(page, 'live');
  assert.ok(await silent(page, '[data-transcript]'));
  await page.evaluate(() => {
    window.given = [];
    new MutationObserver((changes) => {
      for (const { addedNodes } of changes) {
        for (const node of addedNodes) window.given.push({ id: node.dataset?.id, text: node.textContent, lang: node.lang });
      }
    }).observe(document.querySelector('[data-announced]'), { childList: true, subtree: true, characterData: true });
  });
  const given = (count) => page.waitForFunction((least) => window.given.length >= least, count, { timeout: 30_000 });
  await page.waitForFunction(() => document.querySelectorAll('.transcript-cue').length > 1);
  assert.deepEqual(await page.evaluate(() => window.given), [], 'nobody asked for it');
  await page.focus('#announce');
  await page.keyboard.press('Space');
  await given(2);
  await mock(`correct/${await page.evaluate(() => window.given[0].id)}`);
  await page.waitForFunction(() => document.querySelector('[data-transcript]').textContent.includes('Corrected by people.'));
  await given(3);
  await mock('ws/off');
  await page.waitForFunction(() => window.given.at(-1).text.startsWith('(track en)'), null, { timeout: 30_000 });
  await mock('ws/on');
  await page.waitForFunction(() => !window.given.at(-1).text.startsWith('(track en)'), null, { timeout: 30_000 });
  const all = await page.evaluate(() => window.given);
  assert.equal(new Set(all.map(({ id }) => id)).size, all.length, JSON.stringify(all));
  for (const { text, lang } of all) {
    assert.ok(sentences.some((sentence) => sentence.text === text.replace('(track en) ', '')), text);
    assert.equal(lang, 'en');
  }
  assert.deepEqual(refused, []);
  await page.context().close();
});

test('what is wrong with the captions is said once, and how they do is there to read', async () => {
  const { page, refused } = await open('/watch/physics');
  await state(page, 'live');
  await page.evaluate(() => {
    window.said = [];
    const notice = document.querySelector('[data-notice][role="status"]');
    new MutationObserver(() => window.said.push(notice.textContent)).observe(notice, { childList: true, characterData: true });
  });
  const says = (start) => page.waitForFunction((text) => window.said.at(-1)?.startsWith(text), start);
  await tell('state', 'failed');
  await says('The captions have failed');
  await tell('state', 'restarting');
  await says('The captions are restarting');
  await tell('state', 'live');
  await page.waitForFunction(() => window.said.at(-1) === '');
  await tell('load', 'translation');
  await says('The server is busy: words appear only once they are certain, translations');
  for (const [field, value] of [['load', 'partials'], ['lag_p50_ms', 640], ['lag_p95_ms', 1980], ['confidence', null]]) await tell(field, value);

  await page.focus('[data-report] summary');
  await page.keyboard.press('Enter');
  const rows = () => page.$$eval('[data-report] tr', (rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent)));
  await page.waitForFunction(() => document.querySelector('[data-report]').innerText.includes('2.0 s for 95'));
  const report = new Map(await rows());
  assert.equal(await page.textContent('[data-report] caption'), 'English, in the last minutes');
  assert.equal(report.get('From a spoken word to text that stays'), '0.6 s for half of the words, 2.0 s for 95 in 100');
  assert.equal(report.get('How sure the machine is of its words'), '–');
  assert.equal(report.get('Left out just now'), 'The server is busy: words appear only once they are certain.');
  assert.ok(await silent(page, '[data-report]'));
  assert.equal((await page.evaluate(() => window.said)).length, 4, 'the same again, and less, is not news');
  await tell('load', 'normal');
  await page.waitForFunction(() => document.querySelector('[data-report]').innerText.includes('nothing'));
  assert.deepEqual(refused, []);
  await page.context().close();
});

test('what is wrong with the captions is said to those who read the transcript alone, not to those who read nothing', async () => {
  const says = (page) => page.textContent('[data-notice]');
  const { page } = await open('/watch/physics');
  const { page: embedded } = await open('/embed/physics');
  for (const each of [page, embedded]) {
    await state(each, 'live');
    await each.keyboard.press('c');
    assert.equal(await each.evaluate(() => window.amphi.captions.language), 'off');
  }
  await tell('state', 'failed');
  await page.waitForFunction(() => document.querySelector('[data-notice]').textContent.startsWith('The captions have failed'));
  assert.equal(await says(embedded), '');
  await embedded.keyboard.press('c');
  await tell('state', 'failed');
  await embedded.waitForFunction(() => document.querySelector('[data-notice]').textContent.startsWith('The captions have failed'));
  await tell('state', 'live');
  await page.waitForFunction(() => document.querySelector('[data-notice]').textContent === '');
  await page.context().close();
  await embedded.context().close();
});

test('a websocket that says nothing more is given up, and no word is lost', async () => {
  const { page } = await open('/watch/physics');
  await state(page, 'live');
  await page.waitForFunction(() => window.amphi.captions.timeline.all.length > 1);
  await mock('ws/lost');
  const last = await page.evaluate(() => window.amphi.captions.timeline.lastId);
  await page.waitForFunction(() => document.querySelector('.transcript-note').textContent === 'The captions are reconnecting…', null, { timeout: 30_000 });
  await page.waitForFunction((before) => window.amphi.captions.timeline.lastId > before + 3, last, { timeout: 30_000 });
  const ids = await page.evaluate(() => window.amphi.captions.timeline.all.map(({ id }) => id));
  assert.deepEqual(ids.slice(ids.indexOf(last)), Array.from({ length: ids.length - ids.indexOf(last) }, (_, index) => last + index));
  assert.equal(await page.textContent('.transcript-note'), 'Written by a machine');
  await page.context().close();
});

/** Runs in the page: what it asks of `/whep/` is answered by the page itself, with a picture that moves. */
function direct() {
  localStorage.setItem('amphi.delay', 'direct');
  const serve = window.fetch;
  window.fetch = async (url, options = {}) => {
    if (!String(url).includes('/whep/')) return serve(url, options);
    if (options.method !== 'POST') return new Response(null, { status: 204 });
    const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 180 });
    const pen = canvas.getContext('2d');
    setInterval(() => { pen.fillStyle = `hsl(${Math.random() * 360} 80% 50%)`; pen.fillRect(0, 0, 320, 180); }, 40);
    const peer = new RTCPeerConnection();
    window.served = (window.served ?? []).concat(peer);
    for (const track of canvas.captureStream(25).getTracks()) peer.addTrack(track);
    await peer.setRemoteDescription({ type: 'offer', sdp: options.body });
    await peer.setLocalDescription();
    while (peer.iceGatheringState !== 'complete') await new Promise((done) => { setTimeout(done, 50); });
    return new Response(peer.localDescription.sdp, { status: 201, headers: { location: '/whep/physics/1' } });
  };
}

test('a direct picture whose captions cannot come makes way for one that has them, for those who want them', async () => {
  await mock('ws/off');
  try {
    const { page, refused } = await open('/watch/physics', direct);
    const { page: without } = await open('/watch/physics', `localStorage.setItem('amphi.captions', 'off'); (${direct})()`);
    await state(page, 'live');
    assert.equal(await page.evaluate(() => window.amphi.hls), null);
    await page.waitForFunction(() => document.querySelector('.transcript-note').textContent === 'The captions are reconnecting…');
    await page.waitForFunction(() => document.querySelector('[data-notice]').textContent.startsWith('Captions do not come with the direct picture'), null, { timeout: 30_000 });
    await page.waitForFunction(() => document.querySelector('[data-captions]').textContent.startsWith('(track en)'), null, { timeout: 30_000 });
    assert.notEqual(await page.evaluate(() => window.amphi.hls), null);
    assert.equal(await page.textContent('.transcript-note'), 'Written by a machine');
    assert.equal(await page.evaluate(() => localStorage.getItem('amphi.delay')), 'direct', 'his choice stays for the next time');
    assert.deepEqual(refused, []);
    await state(without, 'live');
    assert.equal(await without.evaluate(() => window.amphi.hls), null, 'nobody who reads nothing is taken from it');
    await without.keyboard.press('c');
    await without.waitForFunction(() => window.amphi.hls !== null, null, { timeout: 30_000 });
    await page.context().close();
    await without.context().close();
  } finally {
    await mock('ws/on');
  }
});

test('letters are shortcuts until they are switched off', async () => {
  const { page, refused } = await open('/v/r1');
  await state(page, 'vod');
  const captions = () => page.evaluate(() => window.amphi.captions.language);
  assert.equal(await captions(), 'en');
  await page.keyboard.press('c');
  assert.equal(await captions(), 'off');
  await page.keyboard.press('c');
  await page.keyboard.press('?');
  await page.focus('#letters');
  await page.keyboard.press('Space');
  await page.keyboard.press('Escape');
  for (const again of [false, true]) {
    if (again) {
      await page.reload();
      await state(page, 'vod');
    }
    // Chromium drops the keys that come before a page is first painted.
    await page.waitForFunction(() => performance.getEntriesByType('paint').length > 0 && !document.querySelector('video').paused);
    for (const key of ['c', 'C', 'k', '?']) await page.keyboard.press(key);
    assert.equal(await captions(), 'en');
    assert.equal(await page.evaluate(() => document.querySelector('#shortcuts').open || document.querySelector('video').paused), false);
    await page.keyboard.press('Space');
    await page.waitForFunction(() => document.querySelector('video').paused);
    await page.keyboard.press('Space');
  }
  assert.deepEqual(refused, []);
  await page.context().close();
});

test('a recording plays, and its transcript leads to a place', async () => {
  const { page, refused } = await open('/v/r1');
  await state(page, 'vod');
  const begun = await page.evaluate(async () => {
    const video = document.querySelector('video');
    const moved = () => new Promise((done) => video.addEventListener('timeupdate', done, { once: true }));
    do await moved(); while (video.buffered.length === 0 || video.buffered.end(0) < 29);
    await moved();
    return video.currentTime;
  });
  assert.ok(begun < 20, `it plays from its beginning, not from ${begun} s`);
  await page.click('.transcript-cue:nth-child(6) .seekable');
  await page.waitForFunction(() => document.querySelector('video').currentTime > 19.2);
  await page.waitForFunction(() => document.querySelector('[data-captions]').textContent.startsWith('When you drop'));
  assert.deepEqual(refused, []);
  await page.context().close();
});

test('a channel that is not live waits, one that does not exist says so, the lists fill', async () => {
  const { page } = await open('/watch/history');
  await state(page, 'waiting');
  await page.goto(`${base}/watch/none`);
  await state(page, 'error');
  await page.goto(`${base}/`);
  await page.waitForSelector('#lives .card');
  assert.equal(await page.locator('#recordings .card').count(), 2);
  await page.selectOption('#page-language', 'fr');
  await page.waitForFunction(() => document.querySelector('h1').textContent === 'Cours');
  await page.context().close();
});
