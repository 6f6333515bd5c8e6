import os

os.mkdir("/output/plots")
with open("/output/plots/loss.csv", "w") as file:
    file.write("1,0.5\n2,0.25\n")
os.symlink("/etc/passwd", "/output/link")
with open("/output/<script>alert(1)<.html", "w") as file:
    file.write("<script>alert(1)</script>")
