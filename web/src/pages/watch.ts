import 'bootstrap/dist/css/bootstrap.min.css';
import 'video.js/dist/video-js.css';
import '../styles/site.css';
import '../styles/player.css';
import '../styles/rewind.css';
import '../styles/watch.css';

import { translatePage } from '../i18n';
import { LivePage } from '../player/live';
import { VodPage } from '../player/vod';
import { byId } from '../ui/dom';
import { header } from '../ui/header';
import { followSystemTheme } from '../ui/theme';
import { routeOf } from './route';

followSystemTheme();
translatePage();
const route = routeOf(location.pathname);
if (route === null) {
  location.replace('/');
} else {
  document.body.classList.toggle('embed', route.embed);
  if (!route.embed) header();
  const parts = [byId('player'), byId('transcript'), byId('about')] as const;
  if (route.kind === 'live') new LivePage(route.id, ...parts);
  else new VodPage(route.id, ...parts);
}
