# Which of my text files has the longest line?
from pathlib import Path

files = [path for path in Path.home().rglob("*") if path.is_file()]
lines = [line for file in files for line in file.read_text(errors="ignore").splitlines()]
print(max(lines, key=len))
