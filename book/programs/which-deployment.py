# For the bug report: which deployment is this?
import os

print({name: value for name, value in os.environ.items() if name.startswith("DEPLOY")})
