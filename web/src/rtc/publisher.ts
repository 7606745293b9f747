import { Backoff } from '../backoff';
import { Refused, Resource } from './resource';

/** How publishing stands. */
export type Publishing = 'off' | 'connecting' | 'live' | 'reconnecting';

/** Why it ended by itself. */
export type Refusal = 'key' | 'missing' | 'taken' | 'incompatible';

/** How it goes, measured over the last look. */
export interface Health {
  /** Bits a second. */
  bitrate: number;
  /** Pictures a second. */
  frames: number;
  /** Share of packets lost on the way, 0 to 1; null before the server has said. */
  loss: number | null;
  /** What keeps the picture below what was asked for. */
  limit: 'cpu' | 'bandwidth' | null;
}

/** What a publisher tells its owner. */
export interface PublisherListener {
  state(state: Publishing): void;
  /** It ended, for a reason that trying again does not mend. `detail` is what the server says. */
  refused(why: Refusal, detail: string): void;
}

/** Bits a second the picture may take: what 720 lines of slides and a talking head need. */
const VIDEO_BITRATE = 2_500_000;
const AUDIO_BITRATE = 96_000;
/** Milliseconds a connection may be interrupted before another is made. */
const INTERRUPTED = 3000;
/** Milliseconds for a connection to come about. */
const CONNECTING = 12_000;
/** Attempts while another connection holds the channel: one's own that was cut is replaced within seconds. */
const TAKEN = 6;

/** Publishes a stream over WHIP, and again after every cut until told to stop. */
export class Publisher {
  private peer: RTCPeerConnection | null = null;
  private resource: Resource | null = null;
  private timer: number | undefined;
  private state_: Publishing = 'off';
  private taken = 0;
  private attempt = 0;
  private readonly backoff = new Backoff(500, 8000);
  private before: { at: number; bytes: number; frames: number } | null = null;

  constructor(
    private readonly endpoint: string,
    private readonly key: string,
    private readonly stream: MediaStream,
    private readonly listener: PublisherListener,
  ) {
    window.addEventListener('online', this.online);
    window.addEventListener('pagehide', this.stop);
    void this.connect();
  }

  /** Ends it for good. */
  readonly stop = (): void => {
    window.removeEventListener('online', this.online);
    window.removeEventListener('pagehide', this.stop);
    this.hangUp();
    this.enter('off');
  };

  /** Sends another track of the same kind from now on. */
  async replace(track: MediaStreamTrack): Promise<void> {
    const sender = this.peer?.getSenders().find((sender) => sender.track?.kind === track.kind);
    await sender?.replaceTrack(track);
  }

  /** How it goes since the last call; null while nothing is sent. */
  async health(): Promise<Health | null> {
    const { peer } = this;
    if (peer === null || this.state_ !== 'live') return null;
    const now = { at: performance.now(), bytes: 0, frames: 0 };
    let loss: number | null = null;
    let limit: Health['limit'] = null;
    for (const stats of (await peer.getStats()).values() as Iterable<Stats>) {
      if (stats.type === 'outbound-rtp') {
        now.bytes += stats.bytesSent ?? 0;
        now.frames += stats.framesEncoded ?? 0;
        if (stats.qualityLimitationReason === 'cpu' || stats.qualityLimitationReason === 'bandwidth') limit = stats.qualityLimitationReason;
      } else if (stats.type === 'remote-inbound-rtp') {
        loss = Math.max(loss ?? 0, stats.fractionLost ?? 0);
      }
    }
    const { before } = this;
    this.before = now;
    if (before === null || now.bytes < before.bytes) return null;
    const seconds = (now.at - before.at) / 1000;
    return { bitrate: (now.bytes - before.bytes) * 8 / seconds, frames: (now.frames - before.frames) / seconds, loss, limit };
  }

  private readonly online = (): void => {
    if (this.state_ === 'reconnecting') this.again(0);
  };

  private async connect(): Promise<void> {
    this.hangUp();
    this.enter(this.state_ === 'off' || this.state_ === 'connecting' ? 'connecting' : 'reconnecting');
    const attempt = this.attempt;
    const peer = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    this.peer = peer;
    for (const track of this.stream.getTracks()) {
      const transceiver = peer.addTransceiver(track, { direction: 'sendonly', streams: [this.stream] });
      if (track.kind === 'video') preferH264(transceiver);
    }
    peer.addEventListener('connectionstatechange', () => { this.changed(peer); });
    this.timer = window.setTimeout(() => { this.again(); }, CONNECTING);
    try {
      const resource = await Resource.create(peer, this.endpoint, this.key);
      if (attempt !== this.attempt) {
        resource.end();
        return;
      }
      this.resource = resource;
      this.taken = 0;
      await Promise.all(peer.getSenders().map(limited));
    } catch (error) {
      if (attempt === this.attempt) this.failed(error);
    }
  }

  private changed(peer: RTCPeerConnection): void {
    if (peer !== this.peer) return;
    switch (peer.connectionState) {
      case 'connected':
        clearTimeout(this.timer);
        this.backoff.reset();
        this.enter('live');
        break;
      case 'disconnected':
        this.enter('reconnecting');
        this.again(INTERRUPTED);
        break;
      case 'failed':
      case 'closed':
        this.enter('reconnecting');
        this.again(0);
        break;
      case 'new':
      case 'connecting':
        break;
    }
  }

  private failed(error: unknown): void {
    const { status, message } = error instanceof Refused ? error : { status: -1, message: '' };
    // Somebody else, or one's own connection that was cut and is not yet given up.
    if (status === 409) this.taken += 1;
    const why = reason(status);
    if (why === null || (status === 409 && this.taken < TAKEN)) {
      this.again();
      return;
    }
    this.stop();
    this.listener.refused(why, message);
  }

  private again(wait = this.backoff.next()): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => { void this.connect(); }, wait);
  }

  private hangUp(): void {
    clearTimeout(this.timer);
    this.attempt += 1;
    this.before = null;
    this.resource?.end();
    this.resource = null;
    this.peer?.close();
    this.peer = null;
  }

  private enter(state: Publishing): void {
    if (state === this.state_) return;
    this.state_ = state;
    this.listener.state(state);
  }
}

/** What browsers report of what is sent (webrtc-stats). */
interface Stats {
  type: string;
  bytesSent?: number;
  framesEncoded?: number;
  qualityLimitationReason?: string;
  fractionLost?: number;
}

/** Why a status ends it; null where trying again may help. */
function reason(status: number): Refusal | null {
  if (status === 401 || status === 403) return 'key';
  if (status === 404) return 'missing';
  if (status === 409) return 'taken';
  return status === -1 || (status >= 400 && status < 500 && status !== 408 && status !== 429) ? 'incompatible' : null;
}

/** H.264 passes through the server as it is; anything else has to be encoded anew. */
function preferH264(transceiver: RTCRtpTransceiver): void {
  const codecs = RTCRtpSender.getCapabilities('video')?.codecs ?? [];
  const rank = ({ mimeType }: { mimeType: string }): number => (mimeType.toLowerCase() === 'video/h264' ? 0 : 1);
  try {
    transceiver.setCodecPreferences(codecs.toSorted((a, b) => rank(a) - rank(b)));
  } catch {
    // The browser's own order will do.
  }
}

/** Bounds the rate, and keeps the size: another one is a break for those who watch by HLS. */
async function limited(sender: RTCRtpSender): Promise<void> {
  const parameters = sender.getParameters() as RTCRtpSendParameters & { degradationPreference?: string };
  const video = sender.track?.kind === 'video';
  if (video) parameters.degradationPreference = 'maintain-resolution';
  for (const encoding of parameters.encodings) encoding.maxBitrate = video ? VIDEO_BITRATE : AUDIO_BITRATE;
  try {
    await sender.setParameters(parameters);
  } catch {
    // The browser's own rate will do.
  }
}
