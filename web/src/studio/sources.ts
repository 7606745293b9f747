import { Composer } from './composer';

/** What the picture is made of. */
export type Picture = 'camera' | 'screen' | 'both';

/** Why a device could not be taken. */
export type Trouble = 'insecure' | 'denied' | 'absent' | 'busy' | 'unsupported' | 'cancelled';

/** A device that could not be taken. */
export class DeviceError extends Error {
  override readonly name = 'DeviceError';

  constructor(
    readonly device: 'camera' | 'microphone' | 'screen',
    readonly trouble: Trouble,
  ) {
    super(trouble);
  }
}

/** What a lecture needs: more is scaled down again, less is hard to read. */
const SIZE = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } };

/** Camera, microphone and screen, and the one stream that is made of them. */
export class Sources {
  /** What is published: one picture and one sound, whose tracks change with what they are made of. */
  readonly stream = new MediaStream();
  // At the device's own rate: Firefox joins no microphone to a context at another one.
  private readonly audio = new AudioContext({ latencyHint: 'interactive' });
  private readonly mixed = this.audio.createMediaStreamDestination();
  private readonly analyser = new AnalyserNode(this.audio, { fftSize: 1024 });
  private readonly samples = new Float32Array(this.analyser.fftSize);
  private readonly composer = new Composer(this.audio);
  private camera: MediaStream | null = null;
  private microphone: MediaStream | null = null;
  private screen: MediaStream | null = null;
  private voice: MediaStreamAudioSourceNode | null = null;
  private computer: MediaStreamAudioSourceNode | null = null;
  private picture_: Picture = 'camera';
  private muted_ = false;

  /** `changed` hears that picture or sound comes from another track, `ended` that a device is there no more. */
  constructor(
    private readonly changed: (track: MediaStreamTrack) => void,
    private readonly ended: (device: 'camera' | 'microphone' | 'screen') => void,
  ) {
    this.analyser.connect(this.mixed);
    this.sound();
    // A call, another output or a page out of sight interrupts it; mixed sound and composed picture hang on it.
    this.audio.addEventListener('statechange', () => { this.resume(); });
    document.addEventListener('visibilitychange', () => { this.resume(); });
  }

  /** Whether the screen is shared just now. */
  get sharing(): boolean {
    return live(this.screen);
  }

  /** What the picture is made of. */
  get picture(): Picture {
    return this.picture_;
  }

  /** Whether the microphone is off. */
  get muted(): boolean {
    return this.muted_;
  }

  set muted(muted: boolean) {
    this.muted_ = muted;
    for (const track of this.microphone?.getAudioTracks() ?? []) track.enabled = !muted;
  }

  /** Takes the microphone; `id` chooses one. */
  async hear(id?: string): Promise<void> {
    this.microphone = stop(this.microphone);
    this.sound();
    // No processing but what the room needs: recognition hears what viewers hear.
    const audio = { ...chosen(id), echoCancellation: false, noiseSuppression: true, autoGainControl: true };
    this.microphone = await take('microphone', () => navigator.mediaDevices.getUserMedia({ audio }));
    this.watch('microphone', this.microphone);
    this.voice?.disconnect();
    this.voice = this.audio.createMediaStreamSource(this.microphone);
    // One that takes the place of a muted one is muted before anybody hears it.
    this.muted = this.muted_;
    this.voice.connect(this.analyser);
    this.sound();
    this.resume();
  }

  /** Makes the picture of this; `camera` chooses one. Asks for what it does not have yet. */
  async show(picture: Picture, camera?: string): Promise<void> {
    if (picture !== 'camera' && !live(this.screen)) await this.share();
    if (picture !== 'screen' && (camera !== undefined || !live(this.camera))) {
      stop(this.camera);
      this.camera = null;
      const video = { ...chosen(camera), ...SIZE };
      this.camera = await take('camera', () => navigator.mediaDevices.getUserMedia({ video }));
      this.watch('camera', this.camera);
    }
    // Its light goes out when nobody is filmed any more.
    if (picture === 'screen') this.camera = stop(this.camera);
    if (picture === 'camera') this.unshare();
    this.picture_ = picture;
    await this.compose();
  }

  /** The level of the sound that is sent, in decibels below full scale; -Infinity for silence. */
  level(): number {
    this.analyser.getFloatTimeDomainData(this.samples);
    const power = this.samples.reduce((sum, sample) => sum + sample * sample, 0) / this.samples.length;
    return 10 * Math.log10(power);
  }

  /** Cameras and microphones by name, those in use marked. */
  async devices(): Promise<{ cameras: Device[]; microphones: Device[] }> {
    const all = await navigator.mediaDevices.enumerateDevices();
    const of = (kind: MediaDeviceKind, stream: MediaStream | null): Device[] => {
      const used = stream?.getTracks()[0]?.getSettings().deviceId;
      return all.filter((device) => device.kind === kind && device.deviceId !== '')
        .map(({ deviceId, label }) => ({ id: deviceId, label, used: deviceId === used }));
    };
    return { cameras: of('videoinput', this.camera), microphones: of('audioinput', this.microphone) };
  }

  /** Nobody waits for it: without a device to be heard on, Firefox never says that it has. */
  private resume(): void {
    if (this.audio.state !== 'running' && this.microphone !== null) void this.audio.resume().catch(() => undefined);
  }

  private async share(): Promise<void> {
    const { mediaDevices } = navigator as { mediaDevices: Partial<MediaDevices> };
    if (mediaDevices.getDisplayMedia === undefined) throw new DeviceError('screen', 'unsupported');
    this.screen = await take('screen', () => navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: 30 } }, audio: true }));
    for (const track of this.screen.getVideoTracks()) track.contentHint = 'detail';
    this.watch('screen', this.screen);
    if (this.screen.getAudioTracks().length === 0) return;
    this.computer = this.audio.createMediaStreamSource(this.screen);
    this.computer.connect(this.analyser);
    this.sound();
  }

  private unshare(): void {
    this.computer?.disconnect();
    this.computer = null;
    this.screen = stop(this.screen);
    this.sound();
  }

  /** A composed picture is late by as much as mixed sound is, some 30 ms: where one is made, the other is. */
  private get mixes(): boolean {
    return this.computer !== null || this.picture_ === 'both';
  }

  private sound(): void {
    const [own] = this.microphone?.getAudioTracks() ?? [];
    const [mixed] = this.mixed.stream.getAudioTracks();
    // Mixed sound never ends.
    this.send(!this.mixes && own?.readyState === 'live' ? own : mixed);
  }

  private async compose(): Promise<void> {
    const { camera, screen } = this;
    let track: MediaStreamTrack | undefined;
    if (this.mixes && screen !== null) {
      track = await this.composer.start(screen, camera);
    } else {
      this.composer.stop();
      [track] = (this.picture_ === 'screen' ? screen : camera)?.getVideoTracks() ?? [];
    }
    this.send(track);
    this.sound();
  }

  private send(track: MediaStreamTrack | undefined): void {
    if (track === undefined || this.stream.getTracks().includes(track)) return;
    for (const old of this.stream.getTracks()) {
      if (old.kind === track.kind) this.stream.removeTrack(old);
    }
    this.stream.addTrack(track);
    this.changed(track);
  }

  private watch(device: 'camera' | 'microphone' | 'screen', stream: MediaStream): void {
    for (const track of stream.getTracks()) {
      track.addEventListener('ended', () => {
        if (stream !== this[device]) return;
        this.sound();
        this.ended(device);
      });
    }
  }
}

/** A camera or microphone. */
export interface Device {
  id: string;
  label: string;
  used: boolean;
}

function chosen(id?: string): MediaTrackConstraints {
  return id === undefined ? {} : { deviceId: { exact: id } };
}

function live(stream: MediaStream | null): boolean {
  return stream?.getVideoTracks().some((track) => track.readyState === 'live') ?? false;
}

function stop(stream: MediaStream | null): null {
  for (const track of stream?.getTracks() ?? []) track.stop();
  return null;
}

async function take(device: DeviceError['device'], ask: () => Promise<MediaStream>): Promise<MediaStream> {
  if (!window.isSecureContext) throw new DeviceError(device, 'insecure');
  try {
    return await ask();
  } catch (error) {
    throw new DeviceError(device, trouble(device, error instanceof DOMException ? error.name : ''));
  }
}

function trouble(device: DeviceError['device'], name: string): Trouble {
  switch (name) {
    case 'NotAllowedError':
      return device === 'screen' ? 'cancelled' : 'denied';
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'absent';
    case 'NotReadableError':
    case 'AbortError':
      return 'busy';
    default:
      return 'unsupported';
  }
}
