import { resolve } from 'node:path';

import { defineConfig, type Plugin } from 'vite';

/** Takes video.js's icon font out of its style sheet: the player draws SVG icons, and a `data:` font is refused. */
function withoutIconFont(): Plugin {
  return {
    name: 'without-icon-font',
    enforce: 'pre',
    transform(code, id) {
      return id.includes('video-js.css') ? code.replace(/@font-face\s*\{[^}]*\}/g, '') : null;
    },
  };
}

const MOCK = 'http://127.0.0.1:8081';

// Stable entry pages; everything else goes to /assets under hashed names, so that the server
// can call it immutable. Nothing is inlined: the pages run under `default-src 'self'`.
export default defineConfig({
  base: '/',
  plugins: [withoutIconFont()],
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1000,
    rolldownOptions: {
      input: {
        index: resolve(import.meta.dirname, 'index.html'),
        estimates: resolve(import.meta.dirname, 'estimates.html'),
        studio: resolve(import.meta.dirname, 'studio.html'),
        watch: resolve(import.meta.dirname, 'watch.html'),
      },
    },
  },
  server: {
    proxy: Object.fromEntries(['/api', '/live', '/vod', '/hls', '/whip', '/whep'].map((path) => [path, { target: MOCK, ws: true }])),
  },
  test: { include: ['tests/**/*.test.ts'] },
} as Parameters<typeof defineConfig>[0]);
