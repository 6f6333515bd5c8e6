calls 'unshare, 0x10000000'
