# Makes processes until somebody says no. Not for stages 01 to 03: there, nobody does.
import os
import time

while os.fork():
    pass
time.sleep(5)
