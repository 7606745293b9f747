// Publishes Chromium's fake camera and microphone over WHIP until standard input ends, then DELETEs the session.
// usage: node tests/publish.mjs URL KEY [--codec VP8|H264] [--tcp] [--simulcast]
//   --tcp        takes none but the server's candidates over TCP
//   --simulcast  offers the picture in two sizes
// A line "resize" on standard input halves the picture.
// Prints "answered STATUS", "connected", "resized", "deleted STATUS".
import { createInterface } from 'node:readline'

import { chromium } from 'playwright-core'

const [url, key, ...options] = process.argv.slice(2)
const codec = options.includes('--codec') ? options[options.indexOf('--codec') + 1] : 'H264'

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--no-first-run',
    '--use-fake-device-for-media-stream',
    '--use-fake-ui-for-media-stream',
    '--autoplay-policy=no-user-gesture-required',
  ],
})
const page = await (await browser.newContext()).newPage()
// Any page of a trustworthy origin may use the camera.
await page.goto(new URL('/healthz', url).href)
await page.exposeFunction('say', (line) => console.log(line))

const session = await page.evaluate(
  async ({ url, key, codec, tcp, simulcast }) => {
    const stream = await globalThis.navigator.mediaDevices.getUserMedia({
      audio: true,
      video: { width: 640, height: 360, frameRate: 20 },
    })
    const connection = new globalThis.RTCPeerConnection()
    const layers = { sendEncodings: [{ rid: 'h' }, { rid: 'l', scaleResolutionDownBy: 2 }] }
    for (const track of stream.getTracks()) {
      const more = simulcast && track.kind === 'video' ? layers : {}
      const transceiver = connection.addTransceiver(track, { direction: 'sendonly', streams: [stream], ...more })
      if (track.kind !== 'video') continue
      const { codecs } = globalThis.RTCRtpSender.getCapabilities('video')
      transceiver.setCodecPreferences(codecs.filter((c) => [`video/${codec}`, 'video/rtx'].includes(c.mimeType)))
      globalThis.sender = transceiver.sender
    }
    connection.onconnectionstatechange = () => globalThis.say(connection.connectionState)
    await connection.setLocalDescription()
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/sdp', Authorization: `Bearer ${key}` },
      body: connection.localDescription.sdp,
    })
    globalThis.say(`answered ${answer.status}`)
    let sdp = await answer.text()
    if (tcp) sdp = sdp.replace(/a=candidate:\S+ 1 udp .*\r\n/g, '')
    await connection.setRemoteDescription({ type: 'answer', sdp })
    globalThis.connection = connection
    return answer.headers.get('Location')
  },
  { url, key, codec, tcp: options.includes('--tcp'), simulcast: options.includes('--simulcast') },
)

for await (const line of createInterface(process.stdin)) {
  if (line !== 'resize') continue
  await page.evaluate(async () => {
    const parameters = globalThis.sender.getParameters()
    parameters.encodings[0].scaleResolutionDownBy = 2
    await globalThis.sender.setParameters(parameters)
  })
  console.log('resized')
}
const status = await page.evaluate(
  async ({ resource, key }) =>
    (await fetch(resource, { method: 'DELETE', headers: { Authorization: `Bearer ${key}` } })).status,
  { resource: new URL(session, url).href, key },
)
console.log(`deleted ${status}`)
await browser.close()
