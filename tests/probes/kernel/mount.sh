calls 'mount, 1, 1, 1, 0, 0' 'umount2, 1, 0'
