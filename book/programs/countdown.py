import time

for number in (3, 2, 1):
    print(f"{number}\n", end="")  # one write each, so one event each
    time.sleep(0.5)
