# What two runs of a program must not share.
import random
import time
import uuid

print(hash("a"), random.random(), uuid.uuid4())
print(f"the clock is {'right' if time.time() > 1.7e9 else 'wrong'}")
