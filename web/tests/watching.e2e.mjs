// The pages of lives and recordings in Chromium.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { mock, open, silent, state } from './browser.mjs';
import { sentences } from './mock-media.mjs';

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

/** Until keys arrive: Chromium drops those that come before a page is first painted, and some behind that. */
const hears = async (page) => {
  await page.evaluate(() => window.addEventListener('keydown', () => { window.heard = true; }, { once: true }));
  do await page.keyboard.press('Shift'); while (!(await page.evaluate(() => window.heard)));
};

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
    await page.waitForFunction(() => !document.querySelector('video').paused);
    await hears(page);
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
  await page.goto('/watch/none');
  await state(page, 'error');
  await page.goto('/');
  await page.waitForSelector('#lives .card');
  assert.equal(await page.locator('#recordings .card').count(), 2);
  await page.selectOption('#page-language', 'fr');
  await page.waitForFunction(() => document.querySelector('h1').textContent === 'Cours');
  await page.context().close();
});
