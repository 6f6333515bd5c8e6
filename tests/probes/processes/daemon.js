const code = `process.title = "${NAME}"; setTimeout(() => {}, 60000)`;
const child = child_process.spawn(process.execPath, ["-e", code], { detached: true, stdio: "ignore" });
child.on("error", stopped).on("spawn", () => {
  child.unref();
  setTimeout(finished, 2000);
});
