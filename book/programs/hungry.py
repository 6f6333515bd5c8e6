# Takes memory until somebody says no.
hoard = []
while True:
    hoard.append(bytearray(16 << 20))
    if len(hoard) % 4 == 0:
        print(16 * len(hoard), "MiB", flush=True)
