# Submit the programs of the file sys.argv[2] to sys.argv[1] as one batch.
import json
import sys

programs = json.load(open(sys.argv[2]))
print(len(programs))
