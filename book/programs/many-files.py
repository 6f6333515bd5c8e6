# Each file is small. There are just a few of them.
for number in range(4):
    with open(f"part-{number}", "wb") as file:
        file.write(bytes(60 << 20))

print("wrote", 4 * 60, "MiB; the limit is 64 MiB")
