# A file of ten gigabytes that takes no space at all.
with open("holes", "wb") as file:
    file.truncate(10 << 30)
print("10 GiB")
