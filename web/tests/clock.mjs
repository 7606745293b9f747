// Publishes a clock over WHIP from Chromium until standard input ends: squares in a row, black or white, the bits of the
// milliseconds when each picture was drawn, the lowest first. usage: node tests/clock.mjs URL KEY BITS
// Prints "connected".
import { chromium } from 'playwright-core'

const [url, key, bits] = process.argv.slice(2)
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--autoplay-policy=no-user-gesture-required'],
})
const page = await browser.newPage()
await page.goto(new URL('/healthz', url).href)

// Runs in the page.
const publish = async ({ url, key, bits }) => {
  const side = 40
  const canvas = document.createElement('canvas')
  canvas.width = bits * side
  canvas.height = 540
  const context = canvas.getContext('2d', { alpha: false })
  setInterval(() => {
    const now = Date.now()
    for (let bit = 0; bit < bits; bit += 1) {
      context.fillStyle = Math.floor(now / 2 ** bit) % 2 === 1 ? '#fff' : '#000'
      context.fillRect(bit * side, 0, side, canvas.height)
    }
  }, 33)
  const audio = new AudioContext()
  const sound = audio.createMediaStreamDestination()
  new OscillatorNode(audio).connect(sound)
  const stream = new MediaStream([...canvas.captureStream().getTracks(), ...sound.stream.getTracks()])
  const connection = new RTCPeerConnection()
  for (const track of stream.getTracks()) {
    const transceiver = connection.addTransceiver(track, { direction: 'sendonly', streams: [stream] })
    if (track.kind !== 'video') continue
    const { codecs } = RTCRtpSender.getCapabilities('video')
    transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => ['video/H264', 'video/rtx'].includes(mimeType)))
  }
  await connection.setLocalDescription()
  const headers = { Authorization: `Bearer ${key}`, 'Content-Type': 'application/sdp' }
  const answer = await fetch(url, { method: 'POST', headers, body: connection.localDescription.sdp })
  await connection.setRemoteDescription({ type: 'answer', sdp: await answer.text() })
  for (const sender of connection.getSenders()) {
    const parameters = sender.getParameters()
    parameters.degradationPreference = 'maintain-resolution'
    await sender.setParameters(parameters)
  }
  await new Promise((done) => {
    connection.addEventListener('connectionstatechange', () => { if (connection.connectionState === 'connected') done() })
  })
}
await page.evaluate(publish, { url, key, bits: Number(bits) })
console.log('connected')
process.stdin.resume()
process.stdin.on('end', () => void browser.close())
