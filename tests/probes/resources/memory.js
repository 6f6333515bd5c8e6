const hoard = [];
attempt(() => {
  for (let piece = 0; piece < AMOUNT / 20; piece += 1) hoard.push(Buffer.alloc(20 << 20, 1));
  wait(1500);
});
