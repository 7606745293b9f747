import { Refused, Resource } from '../rtc/resource';
import { type Arrived, Carriage } from './carriage';
import type { Engine, EngineListener, Quality } from './engine';

/** Milliseconds for the first picture to come. */
const CONNECTING = 8000;
/** Milliseconds a connection may be interrupted. */
const INTERRUPTED = 4000;
/** Milliseconds between looks at the delay. */
const LOOK = 1000;
/** The most that browsers hold back, in milliseconds. */
export const HOLD_MAX = 4000;
/** Ticks of a picture's RTP time in a second, and of sound's. */
const CLOCKS = { video: 90_000, audio: 48_000 } as const;

/** A receiver that holds back on request (webrtc-extensions §7). */
type Holding = RTCRtpReceiver & { jitterBufferTarget?: number | null };

/** Whether this browser can play as directly as that, and in step with captions that come later. */
export function whepSupported(): { direct: boolean; step: boolean } {
  const direct = 'RTCPeerConnection' in window && 'getSynchronizationSources' in RTCRtpReceiver.prototype;
  return { direct, step: direct && 'jitterBufferTarget' in RTCRtpReceiver.prototype };
}

/** WebRTC feeding a `<video>`: a fraction of a second behind the lecturer. */
export class WhepEngine implements Engine {
  readonly hls = null;
  readonly qualities: readonly Quality[] = [];
  private readonly peer = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  private readonly stream = new MediaStream();
  private resource: Resource | null = null;
  private over = false;
  private timer: number | undefined;
  private looking: number | undefined;
  private behind: number | null = null;
  private before = { delay: 0, count: 0 };
  private readonly carriage = new Carriage();

  /** Starts at once. `hold`: milliseconds to stay behind, so that captions are there with their words. */
  constructor(
    private readonly video: HTMLVideoElement,
    endpoint: string,
    hold: number,
    private readonly listener: EngineListener,
  ) {
    const { peer } = this;
    for (const kind of ['video', 'audio'] as const) peer.addTransceiver(kind, { direction: 'recvonly' });
    this.hold(hold);
    peer.addEventListener('track', ({ track }) => { this.stream.addTrack(track); });
    peer.addEventListener('connectionstatechange', () => { this.changed(); });
    video.srcObject = this.stream;
    this.timer = window.setTimeout(() => { this.fail(); }, CONNECTING);
    this.looking = window.setInterval(() => { void this.look(); }, LOOK);
    void this.connect(endpoint);
  }

  programTime(): null {
    return null;
  }

  /** The server stamps pictures with their place on the stream's timeline. */
  place(): number | null {
    for (const kind of ['video', 'audio'] as const) {
      const receiver = this.peer.getReceivers().find(({ track }) => track.kind === kind);
      const [source] = receiver?.getSynchronizationSources() ?? [];
      if (source !== undefined) return source.rtpTimestamp / CLOCKS[kind];
    }
    return null;
  }

  /** Stays so many milliseconds behind from now on, {@link HOLD_MAX} at most. */
  hold(milliseconds: number): void {
    for (const receiver of this.peer.getReceivers() as Holding[]) {
      if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = milliseconds;
    }
  }

  latency(): number | null {
    return this.behind;
  }

  goLive(): void {
    // It always is.
  }

  nudge(): boolean {
    return false;
  }

  get height(): number | null {
    return this.video.videoHeight === 0 ? null : this.video.videoHeight;
  }

  choose(): void {
    // There is one.
  }

  destroy(): void {
    this.over = true;
    clearTimeout(this.timer);
    clearInterval(this.looking);
    this.resource?.end();
    this.peer.close();
    this.video.srcObject = null;
  }

  private async connect(endpoint: string): Promise<void> {
    try {
      const resource = await Resource.create(this.peer, endpoint, null);
      if (this.over) resource.end();
      else this.resource = resource;
    } catch (error) {
      const denied = error instanceof Refused && (error.status === 401 || error.status === 403);
      if (!this.over) this.listener.failed(denied ? 'denied' : 'gone');
    }
  }

  private changed(): void {
    switch (this.peer.connectionState) {
      case 'connected':
        clearTimeout(this.timer);
        break;
      case 'disconnected':
        this.timer = window.setTimeout(() => { this.fail(); }, INTERRUPTED);
        break;
      case 'failed':
      case 'closed':
        this.fail();
        break;
      case 'new':
      case 'connecting':
        break;
    }
  }

  private fail(): void {
    if (!this.over) this.listener.failed('gone');
  }

  /** What the path and the buffer take, the lecturer's own way to the server left out, and whether the path suffices. */
  private async look(): Promise<void> {
    let path = 0;
    const now = { delay: 0, count: 0 };
    const arrived: Arrived = { pictures: 0, received: 0, lost: 0, sound: 0 };
    for (const stats of (await this.peer.getStats()).values() as Iterable<Stats>) {
      if (stats.type === 'candidate-pair' && stats.nominated === true) path = (stats.currentRoundTripTime ?? 0) / 2;
      if (stats.type !== 'inbound-rtp') continue;
      if (stats.kind === 'audio') arrived.sound = stats.packetsReceived ?? 0;
      if (stats.kind !== 'video') continue;
      arrived.pictures = stats.framesDecoded ?? 0;
      arrived.received = stats.packetsReceived ?? 0;
      arrived.lost = stats.packetsLost ?? 0;
      now.delay = (stats.jitterBufferDelay ?? 0) + (stats.totalDecodeTime ?? 0);
      now.count = stats.jitterBufferEmittedCount ?? 0;
    }
    const count = now.count - this.before.count;
    if (count > 0) this.behind = path + Math.max(0, now.delay - this.before.delay) / count;
    this.before = now;
    if (this.carriage.fails(arrived) && !this.over) this.listener.failed('narrow');
  }
}

/** What browsers report of what is received (webrtc-stats). */
interface Stats {
  type: string;
  kind?: string;
  nominated?: boolean;
  currentRoundTripTime?: number;
  jitterBufferDelay?: number;
  jitterBufferEmittedCount?: number;
  totalDecodeTime?: number;
  framesDecoded?: number;
  packetsReceived?: number;
  packetsLost?: number;
}
