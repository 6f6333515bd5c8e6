// The ladder puts this in front of every probe in JavaScript, below the constants for the probe's kind of evidence. As in
// prelude.py, the report shows only that the probe ran to its end, and which error stopped it.
const child_process = require("child_process"), fs = require("fs"), net = require("net"), os = require("os");

const report = (what, detail) => fs.writeSync(1, `\n${MARK} ${what} ${detail}\n`);
const print = (text) => fs.writeSync(1, `${text}\n`);
// The attack ran to its end. Whether it succeeded is observed from outside.
const finished = () => report("finished", "-");
// The attack failed with this error.
const stopped = (error) => report("stopped", error.code ?? error.name);
const attempt = (act) => {
  try {
    act();
    finished();
  } catch (error) {
    stopped(error);
  }
};
// The processor is left to others meanwhile.
const wait = (milliseconds) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);

// ---------------------------------------------------------------------------------- the probe itself
