calls 'bpf, 5, 0, 0'
