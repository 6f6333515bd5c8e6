# id: traces/keyring
# class: Lateral
# title: Leave a message in a keyring
# intent: The first program puts a key into its user's keyring, the second one looks for it
# success: The first one's secret is in the second one's answer
# source: isolate 2.4, keyrings shared between boxes; keyrings(7)
# evidence: pair after
# host: confined
secret = SECRET.encode()
answer = syscall("add_key", ctypes.c_char_p(b"user"), ctypes.c_char_p(PLACE.encode()),
                 ctypes.c_char_p(secret), len(secret), -4)  # fmt: skip
if answer == "OK":
    finished()
else:
    stopped(OSError(getattr(errno, answer, 0), "add_key"))

# --- second program ---
_LIBC.syscall.restype = ctypes.c_long
number = _CALLS["keyctl"][os.uname().machine == "aarch64"]
search = [ctypes.c_long(it) for it in (number, 10, -4)]
key = _LIBC.syscall(*search, b"user", PLACE.encode(), ctypes.c_long(0))
if key < 0:
    stopped(OSError(ctypes.get_errno(), "keyctl"))
else:
    secret = ctypes.create_string_buffer(200)
    _LIBC.syscall(ctypes.c_long(number), ctypes.c_long(11), ctypes.c_long(key), secret, ctypes.c_long(200))
    print(secret.value.decode())
    finished()
