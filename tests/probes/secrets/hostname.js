print(os.hostname());
finished();
