"""The page of the vulnerable server, and the requests that pages of other sites make.

See vulnerable_server.py for its purpose, and why it must never be used for anything else.
"""

from evaluation import Refused, vulnerabilities

# It shows what the program of an evaluation has printed, and the names of its files and its labels.
PAGE = """<!doctype html><title>Evaluations</title><body><script>
const id = location.hash.split("/").at(-1);
const get = path => fetch(path).then(response => response.json());
Promise.all([get(`/eval/${id}`), get(`/eval/${id}/artifacts`)]).then(([evaluation, { items }]) => {
  const lines = [evaluation.stdout.text, ...items.map(({ path }) => path), ...Object.entries(evaluation.labels).flat()];
  const shown = document.createElement("main");
  document.body.append(shown);
  shown.PROPERTY = lines.join(" ");
});
</script>"""


def check(request):
    """Refuses what a page of another site requests, and a name that is not this machine's."""
    if "foreign-pages" in vulnerabilities:
        return
    host = (request.header("host") or ["127.0.0.1"])[0].split(":")[0]
    if host not in ("127.0.0.1", "localhost"):
        raise Refused(421, "another host")
    if (request.header("sec-fetch-site") or ["none"])[0] not in ("none", "same-origin"):
        raise Refused(403, "a page of another site")


def answer():
    """The page."""
    property = "innerHTML" if "markup-in-page" in vulnerabilities else "textContent"
    headers = ["Content-Type: text/html\r\n"]
    if "framed" not in vulnerabilities:
        headers.append("Content-Security-Policy: frame-ancestors 'none'\r\n")
    return 200, PAGE.replace("PROPERTY", property), *headers
