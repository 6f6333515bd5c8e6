# Writes 9,000 times, so that there is more than anybody keeps.
import time

for number in range(9000):
    print(f"{number}\n", end="")
    time.sleep(0.0005)
