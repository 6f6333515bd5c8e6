import os

print(os.environ["CRUCIBLE_SECRET"])
