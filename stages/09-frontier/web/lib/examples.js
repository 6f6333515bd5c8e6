// Programs to begin with.

export const EXAMPLES = {
  "Says hello": `print("hello from inside")\n`,
  "Prints over time": `import time

for second in range(10):
    print("second", second, flush=True)
    time.sleep(1)
`,
  "Leaves files": `import os, struct, zlib

def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

width = height = 256
rows = b"".join(b"\\0" + bytes(v for x in range(width) for v in (x, y, 255 - x)) for y in range(height))
png = b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
png += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")

os.makedirs("/output", exist_ok=True)
open("/output/colours.png", "wb").write(png)
open("/output/notes.txt", "w").write("a picture, and this\\n")
print("two files")
`,
  "Never ends": `while True:
    pass
`,
  "Hostile output": `print("\\x1b[2J\\x1b]0;owned\\x07 clears a terminal and renames its window")
print("<script>document.title = 'owned'</script><img src=x onerror=alert(1)>")
print("access = '\\u202etseug\\u2066' is read from right to left")
`,
  "Prints for ever": `while True:
    print("x" * 79)
`,
  "Fails": `import sys

print("this is standard output", flush=True)
print("this is standard error", file=sys.stderr)
sys.exit(3)
`,
};
