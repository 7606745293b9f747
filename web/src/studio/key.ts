/** In this tab only: the next person at a shared computer must not find it. */
const place = (channel: string): string => `amphi.key.${channel}`;

/**
 * The channel's stream key: from the address's fragment (`/studio/NAME#key=KEY`), which no server sees and which is
 * taken out of the address at once, or as it was typed before in this tab.
 */
export function streamKey(channel: string): string {
  const fragment = new URLSearchParams(location.hash.slice(1)).get('key');
  if (fragment !== null) {
    history.replaceState(null, '', location.pathname + location.search);
    keep(channel, fragment);
    return fragment;
  }
  try {
    return sessionStorage.getItem(place(channel)) ?? '';
  } catch {
    return '';
  }
}

/** Remembers the key in this tab; an empty one is forgotten. */
export function keep(channel: string, key: string): void {
  try {
    if (key === '') sessionStorage.removeItem(place(channel));
    else sessionStorage.setItem(place(channel), key);
  } catch {
    // Storage is blocked: the key holds for this page only.
  }
}
