import type { Channel, ChannelStatus, List, Recording } from './types';

/** A refusal, with what the server's problem document says (RFC 9457). */
export class ApiError extends Error {
  override readonly name = 'ApiError';

  constructor(
    /** HTTP status, 0 if no answer came. */
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

const BASE = '/api/v1';

/** Every channel. */
export async function channels(): Promise<Channel[]> {
  return (await get<List<Channel>>('/channels')).items;
}

/** One channel. */
export function channel(name: string): Promise<Channel> {
  return get(`/channels/${encodeURIComponent(name)}`);
}

/** What a channel is doing now. */
export function channelStatus(name: string): Promise<ChannelStatus> {
  return get(`/channels/${encodeURIComponent(name)}/status`);
}

/** Every recording, newest first. */
export async function recordings(): Promise<Recording[]> {
  const { items } = await get<List<Recording>>('/recordings');
  return items.toSorted((a, b) => (b.started_at ?? '').localeCompare(a.started_at ?? ''));
}

/** One recording. */
export function recording(id: string): Promise<Recording> {
  return get(`/recordings/${encodeURIComponent(id)}`);
}

/** A text file, such as a caption track. */
export async function text(url: string): Promise<string> {
  return (await request(url)).text();
}

async function get<T>(path: string): Promise<T> {
  return (await request(BASE + path)).json() as Promise<T>;
}

async function request(url: string): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(10_000) });
  } catch {
    throw new ApiError(0, 'no answer from the server.');
  }
  if (!response.ok) throw new ApiError(response.status, await detail(response));
  return response;
}

async function detail(response: Response): Promise<string> {
  try {
    const problem = (await response.json()) as { title?: string; detail?: string };
    return problem.detail ?? problem.title ?? response.statusText;
  } catch {
    return response.statusText;
  }
}
