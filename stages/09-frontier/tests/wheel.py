"""Makes the wheel evil-1.0-py3-none-any.whl at a path: with files of a dictionary, in Python's notation."""

import ast
import sys
import zipfile

path, files = sys.argv[1:]
info = "evil-1.0.dist-info/"
files = {
    info + "METADATA": "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n",
    info + "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    **ast.literal_eval(files),
}
with zipfile.ZipFile(path, "w") as wheel:
    for name, text in files.items():
        wheel.writestr(name, text)
    wheel.writestr(info + "RECORD", "".join(f"{name},,\n" for name in [*files, info + "RECORD"]))
