import 'bootstrap/dist/css/bootstrap.min.css';
import '../styles/site.css';
import '../styles/home.css';

import * as api from '../api/client';
import { translatePage, t } from '../i18n';
import { byId } from '../ui/dom';
import { header } from '../ui/header';
import { followSystemTheme } from '../ui/theme';
import { liveCards, noLives, noRecordings, recordingCards } from './cards';

/** Milliseconds between looks at the lists; events make it sooner. */
const POLL = 5000;

const lives = byId('lives');
const recordings = byId('recordings');
const problem = byId('home-problem');
const drawn = new Map<HTMLElement, string>();

followSystemTheme();
translatePage();
header();
void refresh();
window.setInterval(() => {
  if (document.visibilityState === 'visible') void refresh();
}, POLL);
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') void refresh();
});
followEvents();

async function refresh(): Promise<void> {
  try {
    const [channels, recorded] = await Promise.all([api.channels(), api.recordings()]);
    const now = Date.now();
    // "Started 3 minutes ago" grows old.
    draw(lives, [channels, Math.floor(now / 60_000)], () => (channels.length === 0 ? noLives() : liveCards(channels, now)));
    draw(recordings, recorded, () => (recorded.length === 0 ? noRecordings() : recordingCards(recorded)));
    problem.hidden = true;
  } catch (error) {
    problem.textContent = t('home.problem', { detail: error instanceof Error ? error.message : '' });
    problem.hidden = false;
  }
}

/** Draws only what changed: focus and a reader's place stay. */
function draw(container: HTMLElement, state: unknown, make: () => HTMLElement): void {
  const now = JSON.stringify(state);
  container.setAttribute('aria-busy', 'false');
  if (drawn.get(container) === now) return;
  drawn.set(container, now);
  const focused = document.activeElement instanceof HTMLAnchorElement && container.contains(document.activeElement)
    ? document.activeElement.getAttribute('href') : null;
  container.replaceChildren(make());
  if (focused !== null) container.querySelector<HTMLElement>(`a[href="${CSS.escape(focused)}"]`)?.focus();
}

/** Refreshes at once when the server tells of a change; without events the clock does it. */
function followEvents(): void {
  const events = new EventSource('/api/v1/events');
  const changed = (): void => {
    if (document.visibilityState === 'visible') void refresh();
  };
  for (const name of ['message', 'channel', 'recording', 'channel.live', 'channel.ended', 'recording.ready', 'recording.failed']) {
    events.addEventListener(name, changed);
  }
  // A server without events answers an error, which the browser would not ask again: nothing to do.
}
