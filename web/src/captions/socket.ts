import { Backoff } from '../backoff';
import { Resume } from './resume';
import { type CaptionEvent, parseEvent } from './wire';

/** Milliseconds of silence after which a connection is in doubt: the server tells of a track every 5 s. */
const SILENCE = 10_000;
/** Milliseconds it then has to say something. A page that slept finds its timers due before what came meanwhile. */
const DOUBT = 6000;

/** What a caption socket tells its owner. */
export interface SocketListener {
  /** An event came. */
  event(event: CaptionEvent): void;
  /** The connection stands or is lost; `failures` counts attempts in a row that gave nothing. */
  connection(open: boolean, failures: number): void;
}

/** The websocket of one caption track, connected again by itself, resuming after the last cue. */
export class CaptionSocket {
  private socket: WebSocket | null = null;
  private timer: number | undefined;
  /** Runs while the connection owes a message. */
  private silence: number | undefined;
  private readonly resume = new Resume();
  private failures = 0;
  private closed = false;
  /** The connection has told of the live's end, and there is no more to hear before the next one begins. */
  private over = false;
  private readonly backoff = new Backoff(500, 5000);
  /** For minutes every connection is told of the end again, and all viewers of the live come back at once. */
  private readonly rest = new Backoff(10_000, 10_000);

  constructor(
    private readonly channel: string,
    private readonly lang: string,
    private readonly listener: SocketListener,
  ) {
    this.connect();
  }

  /** There is a live: one that rests behind the end of the last connects now. */
  wake(): void {
    if (!this.over || this.timer === undefined) return;
    clearTimeout(this.timer);
    this.connect();
  }

  /** Closes for good. */
  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    clearTimeout(this.silence);
    this.timer = undefined;
    this.socket?.close();
  }

  private connect(): void {
    this.timer = undefined;
    this.over = false;
    const url = new URL(`/api/v1/channels/${encodeURIComponent(this.channel)}/captions/ws`, location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    url.searchParams.set('lang', this.lang);
    const since = this.resume.since;
    if (since !== null) url.searchParams.set('since', String(since));
    const socket = new WebSocket(url);
    this.socket = socket;
    let told = false;
    // One that stands in for a lost one has to prove itself; a busy server may keep the first waiting.
    if (this.failures > 0) this.listen(socket);
    socket.addEventListener('open', () => {
      if (this.isCurrent(socket)) this.listener.connection(true, 0);
    });
    socket.addEventListener('message', (message: MessageEvent<unknown>) => {
      if (!this.isCurrent(socket)) return;
      const event = parseEvent(message.data);
      if (event === null) return;
      // Only a message proves that the track is served: a proxy may accept and drop.
      this.failures = 0;
      this.backoff.reset();
      this.over = event.type === 'end';
      if (event.type === 'cue') this.resume.took(event);
      // Another live has ids of its own.
      if (event.type === 'end') this.resume.forget();
      // Before a live, behind its end, and where there is no such track, there may be nothing to say for long.
      if (event.type !== 'cue') told = event.type === 'status' && event.lang !== undefined;
      clearTimeout(this.silence);
      if (told) this.listen(socket);
      this.listener.event(event);
    });
    socket.addEventListener('close', () => { this.lost(socket); });
  }

  private isCurrent(socket: WebSocket): boolean {
    return !this.closed && this.socket === socket;
  }

  /** Waits for the next message; without one the connection is lost, whatever the browser makes of it. */
  private listen(socket: WebSocket, doubted = false): void {
    clearTimeout(this.silence);
    this.silence = window.setTimeout(() => {
      if (doubted) this.lost(socket);
      else this.listen(socket, true);
    }, doubted ? DOUBT : SILENCE);
  }

  private lost(socket: WebSocket): void {
    if (!this.isCurrent(socket)) return;
    clearTimeout(this.silence);
    // What it may still say comes again over the next one.
    this.socket = null;
    socket.close();
    if (!this.over) {
      this.failures += 1;
      this.listener.connection(false, this.failures);
    }
    const wait = this.over ? this.rest.next() : this.backoff.next();
    this.timer = window.setTimeout(() => { this.connect(); }, wait);
  }
}
