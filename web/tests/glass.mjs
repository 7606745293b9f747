// Opens a live in Chromium and reads the clock that is burnt into its picture: a JSON line a picture shown, with the
// milliseconds it was under way. usage: node tests/glass.mjs URL SECONDS BITS [direct|relaxed]
import { chromium } from 'playwright-core'

const [url, seconds, bits, delay = 'direct'] = process.argv.slice(2)
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required'],
})
const page = await browser.newPage()
await page.addInitScript((chosen) => { localStorage.setItem('amphi.delay', chosen) }, delay)
await page.goto(url)
await page.waitForSelector('#player[data-state="live"]', { timeout: 60_000 })

// Runs in the page: squares in a row, the lowest bit first, black or white.
const read = (count) => {
  const video = document.querySelector('video')
  const canvas = document.createElement('canvas')
  canvas.width = count
  canvas.height = 1
  const context = canvas.getContext('2d', { willReadFrequently: true })
  globalThis.lags = []
  const shown = () => {
    const now = Date.now()
    const side = video.videoWidth / count
    for (let bit = 0; bit < count; bit += 1) {
      context.drawImage(video, (bit + 0.5) * side - 1, video.videoHeight / 2, 2, 2, bit, 0, 1, 1)
    }
    const { data } = context.getImageData(0, 0, count, 1)
    let clock = 0
    for (let bit = count - 1; bit >= 0; bit -= 1) clock = clock * 2 + (data[bit * 4] > 127 ? 1 : 0)
    globalThis.lags.push((now - clock) & (2 ** count - 1))
    video.requestVideoFrameCallback(shown)
  }
  video.requestVideoFrameCallback(shown)
}
await page.evaluate(read, Number(bits))
const until = Date.now() + Number(seconds) * 1000
while (Date.now() < until) {
  await page.waitForTimeout(500)
  for (const lag of await page.evaluate(() => globalThis.lags.splice(0))) console.log(JSON.stringify(lag))
}
await browser.close()
