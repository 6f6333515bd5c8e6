attempt(() => {
  process.kill(-1, "SIGKILL");
  wait(1000);
});
