# End the server that runs this program.
print("still there")
