// Goes live from the studio page with Chromium's fake devices: a JSON line every half second of what the lecturer sees.
// usage: node tests/studio.mjs URL [--port N] [--picture both] [--microphone WAV] [--language fr] [--dark] [--audit]
//        [--clapper] [--sounds] [--screenshot FILE]
// N: where media goes instead of to the port that the server names: a proxy's. WAV: what the microphone hears, again and
// again, instead of beeps; with --clapper, the camera flashes when it beeps, and so does a screen that is shared alone;
// with --sounds as well, the computer beeps in its place.
// Standard input: "go" and "stop" press the button; between "cut" and "mend" no request reaches the server, which the
// browser is not told of; the end closes it.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

import { chromium } from 'playwright-core'

import { clapper } from './clapper.mjs'
import { through } from './through.mjs'

const [url, ...options] = process.argv.slice(2)
const option = (name, fallback) => (options.includes(`--${name}`) ? options[options.indexOf(`--${name}`) + 1] : fallback)

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required',
    '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', '--auto-select-desktop-capture-source=Amphi',
    ...(options.includes('--microphone') ? [`--use-file-for-fake-audio-capture=${option('microphone')}`] : [])],
})
const context = await browser.newContext({
  viewport: { width: 1280, height: 900 },
  locale: option('language', 'en'),
  colorScheme: options.includes('--dark') ? 'dark' : 'light',
  reducedMotion: 'reduce',
})
const page = await context.newPage()
const problems = []
page.on('pageerror', (error) => problems.push(String(error)))
page.on('console', (message) => {
  const unreachable = /^(Failed to load resource|WebSocket connection to)/.test(message.text())
  if (message.type() === 'error' && !unreachable) problems.push(message.text())
})
if (options.includes('--clapper')) {
  const sounds = options.includes('--sounds')
  await page.addInitScript(clapper, { shares: option('picture') === 'screen', sounds })
}
let cut = false
if (options.includes('--port')) await through(page, option('port'))
// Asked before the routes of above.
await page.route('**/*', (route) => (cut ? route.abort('connectionfailed') : route.fallback()))
await page.goto(url)
await page.locator('.studio-open button').click()
await page.waitForSelector('form:not([hidden])')
if (options.includes('--picture')) await page.check(`#picture-${option('picture')}`)

// Runs in the page.
const look = () => {
  const video = document.querySelector('video')
  const canvas = document.createElement('canvas')
  const context = canvas.getContext('2d')
  context.drawImage(video, 0, 0, 1, 1)
  const stream = video.srcObject
  return {
    state: document.querySelector('#studio').dataset.state,
    says: document.querySelector('[data-studio-state]').textContent,
    problem: document.querySelector('[role="alert"]:not([hidden])')?.textContent ?? null,
    health: document.querySelector('[data-health]').textContent,
    level: document.querySelector('meter').value,
    width: video.videoWidth,
    height: video.videoHeight,
    tracks: stream?.getTracks().map(({ kind, readyState }) => `${kind} ${readyState}`) ?? [],
    picture: document.querySelector('[name="picture"]:checked')?.value ?? null,
    button: document.querySelector('[type="submit"]').textContent,
    transcript: document.querySelector('[data-transcript]').textContent,
    address: location.href,
    kept: Object.keys(localStorage).concat(Object.values(localStorage)).join(),
  }
}

const audit = async () => {
  await page.evaluate(readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8'))
  return page.evaluate(async () => {
    const only = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']
    const { violations } = await globalThis.axe.run(document, { runOnly: only })
    return violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`)
  })
}

let open = true
const lines = createInterface({ input: process.stdin })
lines.on('line', async (line) => {
  if (line === 'go' || line === 'stop') await page.locator('[type="submit"]').click()
  else cut = line === 'cut'
})
lines.on('close', () => { open = false })
while (open) {
  const audited = options.includes('--audit') ? { violations: await audit() } : {}
  console.log(JSON.stringify({ ...(await page.evaluate(look)), ...audited, problems: problems.splice(0) }))
  await page.waitForTimeout(500)
}
if (option('screenshot')) await page.screenshot({ path: option('screenshot') })
await browser.close()
console.log('closed')
