# id: kernel/perf-events
# class: Escape
# title: Watch the machine's counters
# intent: Calls perf_event_open() with an address that points nowhere
# success: The host's kernel looks at the arguments instead of refusing
# source: CVE-2013-2094; Docker's list of blocked system calls
# evidence: kernel
# host: confined
answered(syscall("perf_event_open", 1, 0, -1, -1, 0))
