let last;
for (const number of [process.ppid, SERVER_PID].filter((number) => number > 1)) {
  try {
    process.kill(number, "SIGKILL");
  } catch (error) {
    last = error;
  }
}
wait(1000);
last ? stopped(last) : finished();
