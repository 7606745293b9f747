// Plays a live in three players side by side and reports, a JSON line a second and player, what a viewer would read.
// usage: node tests/players.mjs URL --seconds N [--players hls.js,video.js,video.js-ll,Shaka] [--languages en,pt] [--switch SECONDS] [--offline AT,SECONDS]
//
// A line is {player, offline, samples: [[wall clock in ms, currentTime, language shown or null, [key of each cue on show]]…],
// cues: {key: [start, end, text]}, doubles: [keys that a track held twice at once], width, pictures: shown so far,
// heap: bytes, problems}.
// Where no languages are named, no captions are chosen.
import { createServer } from 'node:http'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'

import { chromium } from 'playwright-core'

const [url, ...options] = process.argv.slice(2)
const option = (name, fallback) => {
  const at = options.indexOf(`--${name}`)
  return at < 0 ? fallback : options[at + 1]
}
const seconds = Number(option('seconds', '60'))
const languages = option('languages', 'en').split(',').filter(Boolean)
const players = option('players', 'hls.js,video.js,Shaka').split(',')
const rhythm = Number(option('switch', '0'))
const [offlineAt, offlineFor] = option('offline', '0,0').split(',').map(Number)

const require = createRequire(import.meta.url)
const scripts = {
  'hls.js': 'hls.js/dist/hls.js',
  'video.js': 'video.js/dist/video.js',
  'video.js-ll': 'video.js/dist/video.js',
  Shaka: 'shaka-player/dist/shaka-player.compiled.js',
}

// Each runs in its page: starts the player on `url`, and returns how to choose captions and to look at their track.
const start = {
  'hls.js': (url, video) => {
    const { Hls } = globalThis
    const hls = new Hls({ lowLatencyMode: true })
    // What its documentation asks of every page.
    hls.on(Hls.Events.ERROR, (_, { fatal, type }) => {
      if (fatal && type === Hls.ErrorTypes.NETWORK_ERROR) setTimeout(() => hls.startLoad(), 1000)
      if (fatal && type === Hls.ErrorTypes.MEDIA_ERROR) hls.recoverMediaError()
    })
    hls.loadSource(url)
    hls.attachMedia(video)
    const at = (language) => hls.subtitleTracks.findIndex((track) => track.lang === language)
    return {
      choose: (language) => ((hls.subtitleTrack = at(language)), (hls.subtitleDisplay = true)),
      track: (language) => [...video.textTracks].find((track) => track.language === language && track.mode === 'showing'),
      ready: (language) => at(language) >= 0,
    }
  },
  // Its low-latency mode takes an unfinished segment for a whole target duration: it starts that much ahead of
  // where it should, at the live edge, where no caption can be in time. As `video.js-ll` it is left on.
  'video.js': (url, video, llhls = false) => {
    const player = globalThis.videojs(video, { liveui: false, html5: { vhs: { overrideNative: true, llhls } } })
    player.src({ src: url, type: 'application/vnd.apple.mpegurl' })
    void player.play()
    const tracks = () => Array.from(player.textTracks()).filter((track) => track.kind === 'subtitles')
    const track = (language) => tracks().find((track) => track.language === language)
    // It turns captions off for good when they cannot be loaded once; a page has to turn them on again.
    let chosen
    const show = () => {
      for (const track of tracks()) track.mode = track.language === chosen ? 'showing' : 'disabled'
    }
    player.textTracks().addEventListener('change', () => {
      if (chosen && tracks().every((track) => track.mode === 'disabled')) setTimeout(show, 1000)
    })
    return {
      choose: (language) => {
        chosen = language
        show()
      },
      track,
      ready: (language) => track(language) !== undefined,
    }
  },
  Shaka: async (url, video) => {
    globalThis.shaka.polyfill.installAll()
    const player = new globalThis.shaka.Player()
    await player.attach(video)
    player.configure({ streaming: { lowLatencyMode: true } })
    await player.load(url)
    const at = (language) => player.getTextTracks().find((track) => track.language === language)
    return {
      choose: (language) => {
        player.selectTextTrack(at(language))
        player.setTextVisibility?.(true)
        player.setTextTrackVisibility?.(true)
      },
      track: () => [...video.textTracks].find((track) => track.mode === 'showing'),
      ready: (language) => at(language) !== undefined,
    }
  },
}

// Runs in the page, ten times a second.
const sampling = () => {
  const report = { samples: [], cues: {}, doubles: [] }
  globalThis.take = () => {
    const video = document.querySelector('video')
    const pictures = video.getVideoPlaybackQuality().totalVideoFrames
    const taken = { ...report, width: video.videoWidth, pictures, heap: performance.memory.usedJSHeapSize }
    Object.assign(report, { samples: [], cues: {}, doubles: [] })
    return taken
  }
  const known = new Set()
  const key = (cue) => `${cue.startTime.toFixed(3)} ${cue.text}`
  setInterval(() => {
    const video = document.querySelector('video')
    const { language, captions } = globalThis
    const track = language && captions.track(language)
    const held = new Set()
    for (const cue of Array.from(track?.cues ?? [])) {
      if (held.has(key(cue))) report.doubles.push(key(cue))
      held.add(key(cue))
      if (!known.has(language + key(cue))) {
        known.add(language + key(cue))
        report.cues[key(cue)] = [cue.startTime, cue.endTime, cue.text]
      }
    }
    const active = Array.from(track?.activeCues ?? []).map(key)
    const shows = track?.mode === 'showing' ? language : null
    report.samples.push([Date.now(), video.currentTime, shows, active])
  }, 100)
}

const server = createServer((request, response) => {
  const name = decodeURIComponent(request.url.slice(1))
  const module = scripts[name]
  response.setHeader('content-type', module ? 'text/javascript' : 'text/html')
  response.end(
    module
      ? readFileSync(require.resolve(module))
      : '<!doctype html><video muted autoplay playsinline width="320" height="180"></video>',
  )
})
await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
const origin = `http://127.0.0.1:${server.address().port}`

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--enable-precise-memory-info', '--autoplay-policy=no-user-gesture-required',
    '--disable-background-timer-throttling', '--disable-renderer-backgrounding', '--disable-backgrounding-occluded-windows'],
})

const viewers = await Promise.all(
  players.map(async (name) => {
    const context = await browser.newContext()
    const page = await context.newPage()
    const problems = []
    page.on('pageerror', (error) => problems.push(String(error)))
    await page.goto(`${origin}/`)
    await page.addScriptTag({ url: `${origin}/${encodeURIComponent(name)}` })
    await page.evaluate(`(async () => {
      globalThis.captions = await (${start[name.replace('-ll', '')]})(${JSON.stringify(url)}, document.querySelector('video'), ${name.endsWith('-ll')})
    })()`)
    if (languages.length > 0) {
      await page.waitForFunction((language) => globalThis.captions.ready(language), languages[0], { timeout: 60_000 })
    }
    await page.evaluate(sampling)
    return { name, context, page, problems }
  }),
)

const choose = (language) => Promise.all(viewers.map(({ page }) => page.evaluate((language) => {
  globalThis.captions.choose(language)
  globalThis.language = language
}, language)))

const begun = Date.now()
const passed = () => (Date.now() - begun) / 1000
let chosen = -1
let offline = false
while (passed() < seconds) {
  const turn = rhythm > 0 ? Math.floor(passed() / rhythm) : 0
  if (turn !== chosen && languages.length > 0) {
    chosen = turn
    await choose(languages[turn % languages.length])
  }
  const away = offlineFor > 0 && passed() >= offlineAt && passed() < offlineAt + offlineFor
  if (away !== offline) {
    offline = away
    await Promise.all(viewers.map(({ context }) => context.setOffline(away)))
  }
  await sleep(1000)
  for (const { name, page, problems } of viewers) {
    const taken = await page.evaluate(() => globalThis.take())
    console.log(JSON.stringify({ player: name, offline, ...taken, problems: problems.splice(0) }))
  }
}
await browser.close()
server.close()
