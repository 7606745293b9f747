// What the pages do where captions or pictures fail, in Chromium.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { mock, open, silent, state, tell } from './browser.mjs';

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
