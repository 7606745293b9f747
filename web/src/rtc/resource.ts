/** What went wrong with a session's HTTP side; `status` is 0 if no answer came. */
export class Refused extends Error {
  override readonly name = 'Refused';

  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** Milliseconds an answer may take. */
const PATIENCE = 10_000;
/** Milliseconds that finding own addresses may take: the server learns them from the checks anyway. */
const GATHERING = 300;

/**
 * A session's resource on the server, as WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) have it: an offer is posted,
 * the answer comes back with the resource's address, and a DELETE ends it.
 */
export class Resource {
  private constructor(private readonly address: URL, private readonly authorization: Record<string, string>) {}

  /**
   * Offers what `peer` has been given and applies the answer. `key` is the bearer token, if one is needed. STUN and
   * TURN servers are asked for first: addresses are gathered with them for the offer.
   */
  static async create(peer: RTCPeerConnection, endpoint: string, key: string | null): Promise<Resource> {
    const iceServers = await advertised(endpoint);
    if (iceServers.length > 0) peer.setConfiguration({ ...peer.getConfiguration(), iceServers });
    await peer.setLocalDescription();
    await gathered(peer);
    const authorization: Record<string, string> = key === null ? {} : { Authorization: `Bearer ${key}` };
    let response: Response;
    let answer: string;
    try {
      response = await fetch(endpoint, {
        method: 'POST',
        headers: { 'Content-Type': 'application/sdp', ...authorization },
        body: peer.localDescription?.sdp ?? '',
        signal: AbortSignal.timeout(PATIENCE),
      });
      answer = await response.text();
    } catch {
      throw new Refused(0, '');
    }
    const location = response.headers.get('Location');
    if (response.status !== 201 || location === null) throw new Refused(response.status, detail(answer));
    const resource = new Resource(new URL(location, new URL(endpoint, window.location.href)), authorization);
    try {
      await peer.setRemoteDescription({ type: 'answer', sdp: answer });
    } catch (error) {
      resource.end();
      throw error;
    }
    return resource;
  }

  /** Ends the session. The request outlives the page. */
  end(): void {
    void fetch(this.address, { method: 'DELETE', headers: this.authorization, keepalive: true }).catch(() => {
      // The server notices by itself.
    });
  }
}

/** The ICE servers of `Link` headers (RFC 9725 §4.6, RFC 8288), joined as browsers join them. */
export function iceServers(link: string): RTCIceServer[] {
  const servers: RTCIceServer[] = [];
  for (const [, urls = '', rest = ''] of link.matchAll(/<([^>]*)>((?:\s*;\s*[\w-]+="(?:[^"\\]|\\.)*")*)/g)) {
    const parameters = new Map(Array.from(rest.matchAll(/([\w-]+)="((?:[^"\\]|\\.)*)"/g), ([, name = '', value = '']) => [name, value.replace(/\\(.)/g, '$1')]));
    const username = parameters.get('username');
    const credential = parameters.get('credential');
    if (parameters.get('rel') !== 'ice-server') continue;
    servers.push(username === undefined || credential === undefined ? { urls } : { urls, username, credential });
  }
  return servers;
}

/** Those that an endpoint tells of before an offer; none where it does not answer: most networks need none. */
async function advertised(endpoint: string): Promise<RTCIceServer[]> {
  try {
    const response = await fetch(endpoint, { method: 'OPTIONS', signal: AbortSignal.timeout(PATIENCE) });
    return iceServers(response.headers.get('Link') ?? '');
  } catch {
    return [];
  }
}

/** What a problem document (RFC 9457) says; nothing for another body. */
function detail(body: string): string {
  try {
    return (JSON.parse(body) as { detail?: string }).detail ?? '';
  } catch {
    return '';
  }
}

async function gathered(peer: RTCPeerConnection): Promise<void> {
  if (peer.iceGatheringState === 'complete') return;
  await new Promise<void>((done) => {
    window.setTimeout(done, GATHERING);
    peer.addEventListener('icegatheringstatechange', () => {
      if (peer.iceGatheringState === 'complete') done();
    });
  });
}
