# id: kernel/segment-table
# class: Escape
# title: Change the segment table
# intent: Calls modify_ldt() to read it
# success: The host's kernel looks at the arguments instead of refusing
# source: CVE-2015-5157; CVE-2017-17053
# evidence: kernel
# host: confined
answered(syscall("modify_ldt", 0, 0, 0))
