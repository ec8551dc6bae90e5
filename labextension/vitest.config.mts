import { defineConfig } from 'vitest/config';

const modules = new URL('./node_modules/', import.meta.url).pathname;

export default defineConfig({
  resolve: {
    // The package's front door loads widgets and a thousand web components; its tokens are real and enough.
    alias: {
      '@jupyterlab/completer': `${modules}@jupyterlab/completer/lib/tokens.js`
    }
  },
  test: {
    environment: 'node',
    include: ['test/**/*.spec.ts'],
    // Lab's packages are ESM without file endings: Node cannot load them, Vite can.
    server: { deps: { inline: [/@jupyterlab\//, /@jupyter\//, /@lumino\//] } }
  }
});
