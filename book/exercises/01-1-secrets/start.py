# Print the value of the server's variable CRUCIBLE_SECRET.
print("nothing yet")
