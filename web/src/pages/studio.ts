import 'bootstrap/dist/css/bootstrap.min.css';
import '../styles/site.css';
import '../styles/watch.css';
import '../styles/studio.css';

import { translatePage } from '../i18n';
import { Studio } from '../studio/studio';
import { byId } from '../ui/dom';
import { header } from '../ui/header';
import { followSystemTheme } from '../ui/theme';

followSystemTheme();
translatePage();
header();
const name = /^\/studio\/([^/]+)\/?$/.exec(location.pathname)?.[1];
if (name === undefined) location.replace('/');
else new Studio(decodeURIComponent(name), byId('studio'), byId('transcript'));
