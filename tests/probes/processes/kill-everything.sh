kill_all() { kill -9 -1 && sleep 1; }
attempt kill_all
