print(os.release() + os.version());
finished();
