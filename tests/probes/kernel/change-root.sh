calls 'chroot, 1' 'pivot_root, 1, 1'
