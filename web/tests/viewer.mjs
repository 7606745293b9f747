// Opens a page in Chromium and reports, a JSON line every half second, what a viewer would see.
// usage: node tests/viewer.mjs URL [--seconds N] [--screenshot FILE] [--phone] [--language fr]
import { chromium } from 'playwright-core'

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
    '--autoplay-policy=no-user-gesture-required',
  ],
})
const context = await browser.newContext({
  viewport: phone ? { width: 390, height: 844 } : { width: 1280, height: 800 },
  locale: option('language', 'en'),
  colorScheme: options.includes('--dark') ? 'dark' : 'light',
})
const page = await context.newPage()
const problems = []
page.on('pageerror', (error) => problems.push(String(error)))
page.on('console', (message) => {
  if (message.type() === 'error' && !message.text().includes('Failed to load resource')) problems.push(message.text())
})
await page.goto(url)

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
    loaded: performance.timeOrigin,
  }
}

const until = Date.now() + seconds * 1000
while (Date.now() < until) {
  const seen = await page.evaluate(look)
  console.log(JSON.stringify({ at: Date.now() / 1000, ...seen, problems: problems.splice(0) }))
  await page.waitForTimeout(500)
}
const file = option('screenshot')
if (file) await page.screenshot({ path: file })
await browser.close()
