import js from '@eslint/js';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['dist', 'node_modules'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    },
  },
  {
    files: ['tests/**/*.mjs'],
    languageOptions: {
      globals: { process: 'readonly', console: 'readonly', URL: 'readonly', setTimeout: 'readonly',
        setInterval: 'readonly', clearInterval: 'readonly', Buffer: 'readonly', window: 'readonly',
        document: 'readonly', localStorage: 'readonly', fetch: 'readonly', MutationObserver: 'readonly',
        requestAnimationFrame: 'readonly', globalThis: 'readonly', location: 'readonly', AudioContext: 'readonly',
        OscillatorNode: 'readonly', MediaStream: 'readonly', RTCPeerConnection: 'readonly', RTCRtpSender: 'readonly',
        navigator: 'readonly', performance: 'readonly', Response: 'readonly' },
    },
  },
);
