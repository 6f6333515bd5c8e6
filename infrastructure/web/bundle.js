// Bundles what the web frontend uses of others. The same lock file gives the same bytes: esbuild is deterministic,
// and nothing of this machine gets into its output.
//
//   node bundle.js [DIRECTORY]   writes the files there, and not into stages/09-frontier/web/vendor

import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const target = process.argv[2] ?? join(here, "../../stages/09-frontier/web/vendor");
mkdirSync(target, { recursive: true });

// CodeMirror writes its rules into a <style> element, which a policy without 'unsafe-inline' does not apply. In a
// shadow root it has a constructed style sheet instead, which the policy allows; here it has one everywhere.
const constructedStyleSheets = {
  name: "constructed-style-sheets",
  setup(build) {
    build.onLoad({ filter: /style-mod[/\\]src[/\\]style-mod\.js$/ }, ({ path }) => {
      const [text, condition] = [readFileSync(path, "utf8"), "!root.head && root.adoptedStyleSheets"];
      if (!text.includes(condition)) throw new Error(`${path} has another condition now: adapt bundle.js`);
      return { contents: text.replace(condition, "root.adoptedStyleSheets"), loader: "js" };
    });
  },
};

const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: { preact: "preact.entry.js", codemirror: "codemirror.entry.js", uplot: "uplot.entry.js" },
  outdir: target,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none", // they are in LICENSES.txt
  charset: "ascii",
  metafile: true,
  logLevel: "warning",
  plugins: [constructedStyleSheets],
});
writeFileSync(join(target, "uplot.css"), readFileSync(join(here, "node_modules/uplot/dist/uPlot.min.css")));

// The licence of each package that a bundle has something of.
const packageOf = path => path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1];
const packages = [...new Set(Object.keys(metafile.inputs).map(packageOf).filter(Boolean))].sort();
const licences = packages.map(name => {
  const directory = join(here, "node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(directory, "package.json"), "utf8"));
  const file = readdirSync(directory).find(entry => /^licen[cs]e/i.test(entry));
  if (!file) throw new Error(`${name} has no file with its licence`);
  return `${name} ${version} (${license})\n\n${readFileSync(join(directory, file), "utf8").trim()}\n`;
});
writeFileSync(join(target, "LICENSES.txt"), licences.join(`\n${"-".repeat(80)}\n\n`));
