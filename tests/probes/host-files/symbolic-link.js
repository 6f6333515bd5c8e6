const link = `/tmp/link-${MARK.slice(1, 9)}`;
attempt(() => {
  fs.symlinkSync(HOST_FILE, link);
  print(fs.readFileSync(link));
});
