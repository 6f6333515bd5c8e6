# Print host or gvisor.
print("host")
