attempt cat /etc/machine-id
