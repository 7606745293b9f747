import 'bootstrap/dist/css/bootstrap.min.css';
import '../styles/site.css';
import '../styles/home.css';

import { t, translatePage } from '../i18n';
import { header } from '../ui/header';
import { followSystemTheme } from '../ui/theme';

followSystemTheme();
translatePage();
document.title = `${t('estimates.title')} · Amphi`;
header();
