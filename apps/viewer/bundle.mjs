// Makes one script of `src` and NiiVue, named by a digest of its content, and a file with the licences of what is in it.
// Usage: node bundle.mjs FOLDER

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
// Packages whose npm archive has no licence file.
const ownCopies = { '@niivue/niivue': 'licences/niivue.txt' };

/** Folders of the npm packages that files of the bundle come from. */
function packagesOf(inputs) {
  const found = new Set();
  for (const path of Object.keys(inputs)) {
    const match = path.match(/^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//);
    if (match) found.add(match[1]);
  }
  return [...found].sort();
}

/** The licence of one package as text, with its name and version above. */
function licenceOf(folder) {
  const about = JSON.parse(readFileSync(join(here, folder, 'package.json'), 'utf8'));
  const inside = readdirSync(join(here, folder)).find((name) => /^licen[cs]e/i.test(name));
  const file = inside ? join(folder, inside) : ownCopies[about.name];
  if (!file || !existsSync(join(here, file))) throw new Error(`no licence text for ${about.name}`);
  return `${about.name} ${about.version} (${about.license})\n\n${readFileSync(join(here, file), 'utf8').trim()}\n`;
}

const folder = process.argv[2];
const result = await build({
  absWorkingDir: here,
  entryPoints: ['src/index.js'],
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  loader: { '.css': 'text' },
  legalComments: 'none', // the licences are in a file of their own
  metafile: true,
  write: false,
  logLevel: 'warning',
});
const script = result.outputFiles[0].contents;
const digest = createHash('sha256').update(script).digest('hex').slice(0, 16);
const rule = `\n${'-'.repeat(78)}\n\n`;
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, `viewer-${digest}.js`), script);
writeFileSync(join(folder, 'THIRD_PARTY.txt'), packagesOf(result.metafile.inputs).map(licenceOf).join(rule));
