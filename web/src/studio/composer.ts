/** Pixels of the composed picture. */
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
 * Draws the screen with the speaker in its corner.
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

  constructor(private readonly audio: AudioContext) {
    this.canvas.width = WIDTH;
    this.canvas.height = HEIGHT;
  }

  /** Composes these from now on. The track stays the same up to {@link stop}. */
  async start(screen: MediaStream, camera: MediaStream): Promise<MediaStreamTrack | undefined> {
    this.screen.srcObject = screen;
    this.camera.srcObject = camera;
    await Promise.all([this.audio.resume(), this.screen.play(), this.camera.play()]);
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
    const { context, screen, camera } = this;
    if (context === null) return;
    context.fillStyle = '#0b0f16';
    context.fillRect(0, 0, WIDTH, HEIGHT);
    if (screen.videoWidth > 0) {
      const scale = Math.min(WIDTH / screen.videoWidth, HEIGHT / screen.videoHeight);
      const [width, height] = [screen.videoWidth * scale, screen.videoHeight * scale];
      context.drawImage(screen, (WIDTH - width) / 2, (HEIGHT - height) / 2, width, height);
    }
    if (camera.videoWidth > 0) {
      const width = WIDTH * INSET;
      const height = width * camera.videoHeight / camera.videoWidth;
      // At the top: captions stand at the bottom.
      context.drawImage(camera, WIDTH - width - MARGIN, MARGIN, width, height);
    }
  }
}

function player(): HTMLVideoElement {
  const video = document.createElement('video');
  video.muted = true;
  video.playsInline = true;
  return video;
}
