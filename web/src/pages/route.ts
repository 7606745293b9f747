/** What an address asks for. */
export interface Route {
  kind: 'live' | 'vod';
  /** A channel's name or a recording's id. */
  id: string;
  /** Inside another site: the player alone. */
  embed: boolean;
}

/** `/watch/NAME`, `/v/ID`, `/embed/NAME`, `/embed/v/ID`; null for anything else. */
export function routeOf(pathname: string): Route | null {
  const match = /^\/(?:(watch)|(v)|(embed)(?:\/(v))?)\/([^/]+)\/?$/.exec(pathname);
  if (match === null) return null;
  const [, , recording, embed, embedded, raw = ''] = match;
  let id: string;
  try {
    id = decodeURIComponent(raw);
  } catch {
    return null;
  }
  const vod = recording !== undefined || embedded !== undefined;
  return { kind: vod ? 'vod' : 'live', id, embed: embed !== undefined };
}
