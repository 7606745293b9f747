/** Pixels of the screen with the speaker. */
const WIDTH = 1280;
const HEIGHT = 720;
/** The speaker's share of the width, and the distance from the edges. */
const INSET = 0.22;
const MARGIN = 16;
/** Pictures a second. */
const RATE = 30;
/** Seconds to the next where it is late. */
const SOON = 0.015;

/**
 * Draws the screen with the speaker in its corner, or as it is.
 *
 * The audio clock paces it: a lecturer shows another window, and browsers all but stop timers and animation frames of
 * a page that is not in view.
 */
export class Composer {
  private readonly canvas = document.createElement('canvas');
  private readonly context = this.canvas.getContext('2d', { alpha: false });
  private readonly screen = player();
  private readonly camera = player();
  private stream: MediaStream | null = null;

  constructor(private readonly audio: AudioContext) {}

  /** Composes these from now on; without a speaker, the screen at its own size. The track stays the same up to {@link stop}. */
  async start(screen: MediaStream, camera: MediaStream | null): Promise<MediaStreamTrack | undefined> {
    this.screen.srcObject = screen;
    this.camera.srcObject = camera;
    await Promise.all([this.audio.resume(), this.screen.play(), camera === null ? undefined : this.camera.play()]);
    if (this.stream === null) {
      // At no rate of its own: each picture is sent as it is drawn, and none waits for a second clock.
      this.stream = this.canvas.captureStream();
      this.tick(this.stream, this.audio.currentTime);
    }
    const [track] = this.stream.getVideoTracks();
    if (track !== undefined) track.contentHint = 'detail';
    return track;
  }

  /** Stops composing. */
  stop(): void {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
    this.screen.srcObject = null;
    this.camera.srcObject = null;
  }

  private tick(stream: MediaStream, due: number): void {
    if (stream !== this.stream) return;
    this.draw();
    // What comes late makes none of those that follow late.
    const next = Math.max(due + 1 / RATE, this.audio.currentTime + SOON);
    const clock = new ConstantSourceNode(this.audio, { offset: 0 });
    clock.connect(this.audio.destination);
    clock.addEventListener('ended', () => {
      clock.disconnect();
      this.tick(stream, next);
    });
    clock.start();
    clock.stop(next);
  }

  private draw(): void {
    const { canvas, context, screen, camera } = this;
    if (context === null) return;
    const alone = camera.srcObject === null;
    this.size(alone ? screen.videoWidth : WIDTH, alone ? screen.videoHeight : HEIGHT);
    const { width, height } = canvas;
    context.fillStyle = '#0b0f16';
    context.fillRect(0, 0, width, height);
    if (screen.videoWidth > 0) {
      const scale = Math.min(width / screen.videoWidth, height / screen.videoHeight);
      const [w, h] = [screen.videoWidth * scale, screen.videoHeight * scale];
      context.drawImage(screen, (width - w) / 2, (height - h) / 2, w, h);
    }
    if (!alone && camera.videoWidth > 0) {
      const w = width * INSET;
      const h = w * camera.videoHeight / camera.videoWidth;
      // At the top: captions stand at the bottom.
      context.drawImage(camera, width - w - MARGIN, MARGIN, w, h);
    }
  }

  /** Makes the canvas so large; even to be told the same would clear it. */
  private size(width: number, height: number): void {
    if (width === 0 || this.canvas.width === width && this.canvas.height === height) return;
    this.canvas.width = width;
    this.canvas.height = height;
  }
}

function player(): HTMLVideoElement {
  const video = document.createElement('video');
  video.muted = true;
  video.playsInline = true;
  return video;
}
