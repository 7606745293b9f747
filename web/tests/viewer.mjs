// Opens a page in Chromium and reports, a JSON line every half second, what a viewer would see.
// usage: node tests/viewer.mjs URL [--seconds N] [--screenshot FILE] [--phone] [--dark] [--language fr]
//          [--port N] [--tcp] [--slow] [--without-websocket] [--choose MENU/ITEM]… [--press KEY@SECONDS]… [--audit] [--pitch] [--skew] [--any-certificate]
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

import { chromium, errors } from 'playwright-core'

import { overTcp, through } from './through.mjs'

const [url, ...options] = process.argv.slice(2)
const option = (name, fallback) => {
  const at = options.indexOf(`--${name}`)
  return at < 0 ? fallback : options[at + 1]
}
const seconds = Number(option('seconds', '20'))
const phone = options.includes('--phone')

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--enable-precise-memory-info',
    '--autoplay-policy=no-user-gesture-required',
  ],
})
const context = await browser.newContext({
  viewport: phone ? { width: 390, height: 844 } : { width: 1280, height: 800 },
  locale: option('language', 'en'),
  ignoreHTTPSErrors: options.includes('--any-certificate'),
  colorScheme: options.includes('--dark') ? 'dark' : 'light',
  // Colours are measured at rest, not while they fade.
  reducedMotion: options.includes('--audit') ? 'reduce' : 'no-preference',
})
const page = await context.newPage()
const problems = []
page.on('pageerror', (error) => problems.push(String(error)))
page.on('console', (message) => {
  // A server that cannot be reached is the page's business, which must live with it; all else is a mistake.
  const unreachable = /^(Failed to load resource|WebSocket connection to)/.test(message.text())
  if (message.type() === 'error' && !unreachable) problems.push(message.text())
})
if (options.includes('--port')) await through(page, option('port'))
if (options.includes('--tcp')) await overTcp(page)
// Hardly more than what is played is there in time.
if (options.includes('--slow')) {
  await page.route(/\/seg-\d+\.m4s/, async (route) => {
    await new Promise((done) => { setTimeout(done, 1500) })
    await route.continue().catch(() => undefined)
  })
}
// How far the sound that is played over WebRTC is ahead of the picture, by the publisher's clock.
if (options.includes('--skew')) {
  await page.addInitScript(() => {
    globalThis.RTCPeerConnection = class extends globalThis.RTCPeerConnection {
      constructor(...settings) {
        super(...settings)
        globalThis.skew = async () => {
          const tracks = [...(await this.getStats()).values()].filter((one) => one.type === 'inbound-rtp')
          const played = (kind) => tracks.find((track) => track.kind === kind)?.estimatedPlayoutTimestamp
          return (played('audio') - played('video')) / 1000
        }
      }
    }
  })
}
if (options.includes('--without-websocket')) await page.routeWebSocket(/./, (socket) => socket.close())
await page.goto(url)

// Chooses in a menu of the control bar. The bar hides from a mouse that rests, and the menu with it, so the mouse moves and
// tries again until it has clicked, as a person's does.
async function choose(menu, name) {
  const item = page.getByRole('menuitemradio', { name, exact: true })
  for (let tries = 15; ; tries -= 1) {
    await page.locator('#player').hover({ position: { x: 20 + tries, y: 20 } })
    try {
      if (!(await item.isVisible())) await page.getByRole('button', { name: menu }).click({ timeout: 2000 })
      return await item.click({ timeout: 2000 })
    } catch (error) {
      if (!(error instanceof errors.TimeoutError) || tries === 0) throw error
    }
  }
}

// What is asked for on the command line.
for (const [at, name] of options.entries()) {
  if (name !== '--choose') continue
  const [menu, item] = options[at + 1].split('/')
  await page.waitForSelector('#player[data-state="live"], #player[data-state="vod"]', { timeout: 60_000 })
  await choose(menu, item)
}

// What is heard, without the loudspeaker.
if (options.includes('--pitch')) {
  await page.waitForSelector('#player[data-state="live"], #player[data-state="vod"]', { timeout: 60_000 })
  await page.evaluate(() => {
    const audio = new globalThis.AudioContext()
    const ear = new globalThis.AnalyserNode(audio, { fftSize: 8192 })
    audio.createMediaElementSource(document.querySelector('video')).connect(ear)
    globalThis.pitch = () => {
      const bins = new Float32Array(ear.frequencyBinCount)
      ear.getFloatFrequencyData(bins)
      const loudest = bins.indexOf(Math.max(...bins))
      return bins[loudest] > -60 ? loudest * audio.sampleRate / ear.fftSize : null
    }
  })
}

// Keys that are pressed so many seconds after looking begins, which then is when the live plays.
const keys = options.flatMap((name, at) => {
  if (name !== '--press') return []
  const [key, after] = options[at + 1].split('@')
  return [{ key, at: Number(after) }]
})
if (keys.length > 0) await page.waitForSelector('#player[data-state="live"]', { timeout: 60_000 })

// Runs in the page.
const look = () => {
  const video = document.querySelector('video')
  const captions = document.querySelector('[data-captions]')
  const hls = globalThis.amphi?.hls
  const pdt = hls?.playingDate
  return {
    state: document.querySelector('[data-state]')?.dataset.state ?? null,
    time: video?.currentTime ?? null,
    paused: video?.paused ?? null,
    frames: video?.getVideoPlaybackQuality?.().totalVideoFrames ?? null,
    dropped: video?.getVideoPlaybackQuality?.().droppedVideoFrames ?? null,
    height: video?.videoHeight ?? null,
    latency: hls?.latency ?? null,
    target: hls?.targetLatency ?? null,
    behind: pdt ? (Date.now() - pdt.getTime()) / 1000 : null,
    captions: captions?.textContent?.trim() ?? null,
    language: captions?.lang ?? null,
    transcript: document.querySelector('[data-transcript]')?.textContent?.trim() ?? null,
    source: globalThis.amphi?.captions.source ?? null,
    place: globalThis.amphi?.captions.now ?? null,
    late: globalThis.amphi?.captions.late ?? null,
    ui: document.documentElement.lang,
    sideways: document.documentElement.scrollWidth > globalThis.innerWidth,
    estimates: document.querySelector('[data-estimates]:not([hidden])')?.textContent ?? null,
    heading: document.querySelector('h1')?.textContent ?? null,
    report: document.querySelector('[data-report]:not([hidden])')?.textContent ?? null,
    notice: document.querySelector('[data-notice]')?.textContent || null,
    pitch: globalThis.pitch?.() ?? null,
    direct: Boolean(video?.srcObject),
    viewers: document.querySelector('.about-viewers:not([hidden])')?.textContent ?? null,
    lag: document.querySelector('[data-caption-lag]:not([hidden])')?.textContent ?? null,
    veil: document.querySelector('.veil:not([hidden])')?.innerText ?? null,
    rewind: document.querySelector('.rewind-control:not([hidden]) [data-rewind]')?.getAttribute('aria-valuetext') ?? null,
    rewound: document.querySelector('[data-rewound]')?.textContent || null,
    playlist: hls?.url?.split('/').at(-1) ?? null,
    over: hls?.latestLevelDetails?.live === false && hls.audioTracks[hls.audioTrack]?.details?.live !== true,
    loaded: performance.timeOrigin,
    heap: performance.memory.usedJSHeapSize,
  }
}

// What axe finds against WCAG 2.2 AA: rule, and the first element that breaks it.
const audit = async () => {
  // The page's policy lets no script in, but what the tester evaluates.
  await page.evaluate(readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8'))
  return page.evaluate(async () => {
    const only = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']
    const { violations } = await globalThis.axe.run(document, { runOnly: only })
    return violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`)
  })
}

const begun = Date.now()
const until = begun + seconds * 1000
while (Date.now() < until) {
  while (keys.length > 0 && Date.now() >= begun + keys[0].at * 1000) await page.keyboard.press(keys.shift().key)
  // A page that leads to another one is not looked at.
  const seen = await page.evaluate(look).catch((error) => {
    if (!/context was destroyed/.test(error.message)) throw error
  })
  if (seen === undefined) continue
  const skew = options.includes('--skew') ? { skew: await page.evaluate(() => globalThis.skew?.()) } : {}
  const audited = options.includes('--audit') ? { violations: await audit() } : {}
  console.log(JSON.stringify({ at: Date.now() / 1000, ...seen, ...skew, ...audited, problems: problems.splice(0) }))
  await page.waitForTimeout(500)
}
const file = option('screenshot')
if (file) await page.screenshot({ path: file })
await browser.close()
