// Runs in a page before its scripts: its camera and its microphone are a canvas and an oscillator, whose flashes and beeps
// begin together, 200 ms of every second. Chromium's fake devices, played from files, begin when they like. Where it
// shares, its screen flashes as well; and where it sounds, what beeps is the computer.
export const clapper = ({ shares, sounds }) => {
  const audio = new globalThis.AudioContext()
  const beep = new globalThis.GainNode(audio, { gain: 0 })
  const tone = new globalThis.OscillatorNode(audio, { frequency: 1000 })
  const ear = new globalThis.MediaStreamAudioDestinationNode(audio)
  tone.connect(beep).connect(ear)
  tone.start()
  const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 360 })
  const context = canvas.getContext('2d')
  const begun = performance.now()
  let on = true
  const strike = () => {
    const now = performance.now() - begun
    const struck = now % 1000 < 200
    if (struck !== on) beep.gain.setValueAtTime(struck ? 0.8 : 0, audio.currentTime)
    on = struck
    context.fillStyle = on ? 'white' : 'black'
    context.fillRect(0, 0, canvas.width, canvas.height)
    // No picture is the one before.
    context.fillStyle = '#333'
    context.fillRect((now / 10) % canvas.width, 0, 2, 2)
  }
  strike()
  setInterval(strike, 33)
  const eye = canvas.captureStream()
  const silence = new globalThis.MediaStreamAudioDestinationNode(audio)
  const stream = (...streams) => new globalThis.MediaStream(streams.flatMap((of) => of.clone().getTracks()))
  // The computer's own sound would drown the beeps.
  const share = navigator.mediaDevices.getDisplayMedia.bind(navigator.mediaDevices)
  const shared = async () => stream(eye, ...(sounds ? [ear.stream] : []))
  navigator.mediaDevices.getDisplayMedia = shares ? shared : ({ video }) => share({ video })
  navigator.mediaDevices.getUserMedia = async ({ audio: heard, video: seen }) =>
    stream(...(heard ? [(sounds ? silence : ear).stream] : []), ...(seen ? [eye] : []))
}
